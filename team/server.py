"""`mlflow server` on loopback: PostgreSQL behind it, artifacts through it, and a password before it."""

from __future__ import annotations

import configparser
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import requests

from team import postgres

ADMIN = "admin"
TRACKING, ACCOUNTS = "mlflow", "accounts"  # the two databases
START_SECONDS = 600.0  # on a busy machine its imports alone take minutes
STOP_SECONDS = 20.0
# of the parent's environment that would reach into the server
UNWANTED = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME",
            "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A running server; `passwords` by user, empty where nobody has to log in."""

    uri: str
    database: str  # SQLAlchemy's address of the store behind it
    artifacts: Path
    passwords: dict[str, str] = field(default_factory=dict)

    def environment(self, user: str = ADMIN) -> dict[str, str]:
        """What a process needs in its environment to work here as `user`."""
        named = {"MLFLOW_TRACKING_URI": self.uri}
        if self.passwords:
            named |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": self.passwords[user]}
        return named

    def ask(self, method: str, path: str, user: str = ADMIN, **content: object) -> requests.Response:
        """One call of the REST interface as `user`; '' = nobody."""
        known = (user, self.passwords[user]) if user and self.passwords else None
        return requests.request(method, f"{self.uri}{path}", auth=known, timeout=60, **content)

    def add_user(self, name: str) -> None:
        """A new account with a random password and the default permission, which is none.

        Raises:
            requests.HTTPError: there is one already.
        """
        password = secrets.token_urlsafe(16)
        made = {"username": name, "password": password}
        self.ask("POST", "/api/2.0/mlflow/users/create", json=made).raise_for_status()
        self.passwords[name] = password


def missing() -> str:
    """Why the server cannot be started here; '' when it can."""
    if find_spec("flask_wtf") is None:
        return "MLflow's basic auth wants Flask-WTF (pip install -e '.[team]')"
    return postgres.missing()


@contextmanager
def started(folder: Path, *, auth: bool = True, workers: int = 2) -> Iterator[Server]:
    """PostgreSQL and `mlflow server` before it, both new; they end with the block.

    Args:
        folder: artifacts, settings and the server's log go there.
        auth: with `--app-name basic-auth`, and no permission for anybody but an owner and the admin.

    Raises:
        RuntimeError: PostgreSQL, its driver or MLflow's extra `auth` is not installed, or no start in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with postgres.started(TRACKING, ACCOUNTS) as database:
        port = postgres.free_port()
        passwords = {ADMIN: secrets.token_urlsafe(16)} if auth else {}
        made = Server(
            f"http://{postgres.HOST}:{port}", database.uri(TRACKING), folder / "artifacts", passwords
        )
        environment = _environment(made, database, folder)
        with (folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                _command(made, port, auth, workers), cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                _wait(made, process, folder / "server.log")
                yield made
            finally:
                _stop(process)


def _command(made: Server, port: int, auth: bool, workers: int) -> list[str]:
    """The addresses of the databases are not on it: every user of the machine can read a command line."""
    line = [
        sys.executable, "-m", "mlflow", "server", "--host", postgres.HOST, "--port", str(port),
        "--workers", str(workers), "--serve-artifacts", "--artifacts-destination", str(made.artifacts),
        # on a busy machine a worker that computes is silent for longer than uvicorn's 5 s, and would be killed
        "--uvicorn-opts", f"--timeout-worker-healthcheck {START_SECONDS:.0f}",
    ]  # fmt: skip
    return [*line, "--app-name", "basic-auth"] if auth else line


def _environment(made: Server, database: postgres.Database, folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    kept |= {
        "MLFLOW_BACKEND_STORE_URI": made.database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if made.passwords:
        settings = folder / "basic_auth.ini"
        _write_settings(settings, database.uri(ACCOUNTS))
        kept |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_PASSWORD": made.passwords[ADMIN],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        }
    return kept


def _write_settings(path: Path, accounts: str) -> None:
    """MLflow's own default lets every account read everything; here it is nothing, unless granted."""
    config = configparser.ConfigParser(interpolation=None)
    config["mlflow"] = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": accounts,
        "admin_username": ADMIN,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds": "60",  # else every call pays for a slow hash of the password
    }
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8") as file:
        config.write(file)


def _wait(made: Server, process: subprocess.Popen, log: Path) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        try:
            if requests.get(f"{made.uri}/health", timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        except requests.Timeout:
            pass
        time.sleep(0.2)
    raise RuntimeError(
        f"mlflow server did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}"
    )


def _stop(process: subprocess.Popen) -> None:
    """The server and its workers, which share a session of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):  # workers that outlive their parent get the second signal
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    process.wait()
