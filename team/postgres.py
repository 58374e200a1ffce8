"""A PostgreSQL of one's own: made in a new folder, on loopback, with a password, stopped at the end."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")  # Debian keeps initdb and pg_ctl off the PATH
HOST = "127.0.0.1"
OWNER = "mlflow"
ACCOUNT = "postgres"  # PostgreSQL refuses to run as root: root lends it this account of Debian's package
SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200")


@dataclass(frozen=True)
class Database:
    """Where a running PostgreSQL is, and how to get in."""

    port: int
    password: str

    def uri(self, name: str) -> str:
        """SQLAlchemy's address of a database. The driver is named: bare `postgresql://` means whichever
        driver the SQLAlchemy at hand prefers, psycopg2 before 2.1 and psycopg 3 since."""
        return f"postgresql+psycopg://{OWNER}:{self.password}@{HOST}:{self.port}/{name}"


def programs() -> Path | None:
    """Folder of initdb and pg_ctl, the newest; None where PostgreSQL is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    there = [p.parent for p in DEBIAN.glob("*/bin/initdb")]
    return max(there, key=lambda p: float(p.parent.name), default=None)


def missing() -> str:
    """Why PostgreSQL cannot be started here; '' when it can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed (pip install -e '.[team]')"
    return ""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@contextmanager
def started(*databases: str) -> Iterator[Database]:
    """A fresh PostgreSQL with these empty databases; its folder goes with it.

    Raises:
        RuntimeError: PostgreSQL or its driver is not installed.
    """
    if reason := missing():
        raise RuntimeError(reason)
    folder = Path(tempfile.mkdtemp(prefix="sslseg-postgres-"))
    password = secrets.token_hex(16)
    try:
        with _running(folder, password) as port:
            _create(port, password, databases)
            yield Database(port, password)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path, password: str) -> Iterator[int]:
    secret, data, log = folder / "password", folder / "data", folder / "log"
    secret.write_text(password, encoding="utf-8")
    if _as_root():
        for path in (folder, secret):
            shutil.chown(path, ACCOUNT, ACCOUNT)
    _call("initdb", "-D", data, "-U", OWNER, "--auth=scram-sha-256", f"--pwfile={secret}",
          "--encoding=UTF8", "--locale=C")  # fmt: skip
    secret.unlink()
    port = free_port()
    options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"port={port}"))
    _call("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
    try:
        yield port
    finally:
        _call("pg_ctl", "-D", data, "-m", "fast", "-w", "stop")


def _as_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _call(program: str, *arguments: str | Path) -> None:
    account = {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []} if _as_root() else {}
    done = subprocess.run(
        [programs() / program, *arguments],
        cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        **account,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{program}: {done.stderr.strip()}")


def _create(port: int, password: str, databases: tuple[str, ...]) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(
        host=HOST, port=port, user=OWNER, password=password, dbname="postgres", autocommit=True
    ) as connection:
        for name in databases:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
