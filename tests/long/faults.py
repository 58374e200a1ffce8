"""A full disk, read-only artifacts, a locked store, a server that restarts: `python -m tests.long.faults`.

Each is real (a small tmpfs, a bind mount, another connection's lock, `mlflow server` on loopback) and comes
in the middle of a fine-tuning. It ends with one clear line and no FINISHED run, or waits; the same command
again then gives the numbers of an undisturbed run. The mounts want root on Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.long import kills, saboteur
from tests.long.kills import Place

STAGE = "finetune"
MOMENT = "step 4 done"
SIZE = 96  # MB of the small disk
PATIENCE = 900  # seconds for one command on a busy machine
Fault = Callable[[Place], contextlib.AbstractContextManager]


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


@contextlib.contextmanager
def full_disk(place: Place) -> Iterator[None]:
    """Everything of the run lies on a small disk, and something else fills it."""
    filler = place.folder / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
            file.flush()
    yield
    filler.unlink()


@contextlib.contextmanager
def read_only_artifacts(place: Place) -> Iterator[None]:
    folder = str(place.folder / "mlruns")
    _mount("--bind", folder, folder)
    _mount("-o", "remount,ro,bind", folder)
    yield
    subprocess.run(["umount", folder], check=True)


@contextlib.contextmanager
def locked(place: Place, seconds: float = 30.0) -> Iterator[None]:
    """Another connection holds the store for longer than SQLite itself waits (20 s, MLflow's setting)."""
    connection = sqlite3.connect(place.folder / "mlflow.db", timeout=60, isolation_level=None)
    connection.execute("begin exclusive")
    time.sleep(seconds)
    connection.execute("rollback")
    connection.close()
    yield


class Server:
    """`mlflow server` on loopback, in front of a place's store."""

    def __init__(self, place: Place):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.place = place
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
                 "--backend-store-uri", self.place.uri]  # fmt: skip
        log = (self.place.folder / "server.log").open("ab")
        quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env=quiet,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return
            time.sleep(0.5)
        raise TimeoutError("mlflow server does not answer")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 15)
        self.process.wait()


@contextlib.contextmanager
def restarting(place: Place, server: Server) -> Iterator[None]:
    server.stop()
    time.sleep(5)
    server.start()
    yield


def _disturbed(root: Path, place: Place, fault: contextlib.AbstractContextManager, uri: str) -> int:
    """The command, with the fault beginning at MOMENT and lasting till its end; its exit code."""
    pid = os.fork()
    if pid == 0:
        os._exit(kills.command(STAGE, root, place, "first", uri=uri) & 0xFF)
    until = time.monotonic() + PATIENCE
    while MOMENT not in saboteur.effects(place.folder / "first"):
        if time.monotonic() > until or os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise RuntimeError((place.folder / "first.output").read_text()[-2000:])
        time.sleep(0.02)
    with fault:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def one(name: str, base: Path, root: Path, wanted: dict) -> dict:
    """One fault; what came of it."""
    begun, server = time.perf_counter(), None
    disk = base / name
    disk.mkdir()
    if name == "full disk":
        _mount("-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", str(disk))
    place = kills.fresh(base, f"{name}/place")
    (place.folder / "mlruns").mkdir()
    if name == "server restarts":
        server = Server(place)
    uri = server.uri if server else place.uri
    fault = {
        "full disk": lambda: full_disk(place),
        "read-only artifacts": lambda: read_only_artifacts(place),
        "store locked 30 s": lambda: locked(place),
        "server restarts": lambda: restarting(place, server),
    }[name]()
    faults = []
    try:
        code = _disturbed(root, place, fault, uri)
        faults += kills.finished_early(wanted, place) if code else []
        said = [line for line in (place.folder / "first.output").read_text().splitlines() if "sslseg" in line]
        if code and kills.command(STAGE, root, place, "again", uri=uri):
            faults.append("the same command again: " + (place.folder / "again.output").read_text()[-400:])
    finally:
        if server:
            server.stop()
    faults += kills.compare(wanted, kills.facts(place))
    return {"fault": name, "exit code": code, "said": said[-1][:300] if said and code else "", "faults": faults,
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


FAULTS = ("full disk", "read-only artifacts", "store locked 30 s", "server restarts")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=FAULTS)
    options = parser.parse_args()
    kills.warm_up()
    base = Path(tempfile.mkdtemp(prefix="sslseg-faults-"))
    root = kills.begin(base)
    wanted, _ = kills.whole(STAGE, base, root)
    rows = []
    for name in options.faults:
        rows.append(one(name, base, root, wanted))
        print(json.dumps(rows[-1]), flush=True)
    subprocess.run(["umount", str(base / "full disk")], capture_output=True, check=False)
    sys.exit(any(row["faults"] for row in rows))


if __name__ == "__main__":
    main()
