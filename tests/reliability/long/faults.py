"""A full disk, read-only artifacts, a locked store, a server that goes away: `python -m tests.reliability.long.faults`.

Each is real (a small tmpfs, a bind mount, another connection's lock, `mlflow server` on loopback) and comes at
a known moment of a fine-tuning. That ends with one clear line and no run that is FINISHED and is not, or it
waits; the same command again then gives the numbers of an undisturbed run. The mounts want root on Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.long import record, saboteur
from tests.reliability.long.facts import compare, facts, finished_early
from tests.reliability.long.kills import Whole, undisturbed
from tests.reliability.long.places import Place, begin, command, fresh, warm_up

STAGE = "finetune"
IN_TRAINING, AT_UPLOAD = "step 4 done", "store log_model_artifacts before"
SIZE = 64  # MB of the small disk
PATIENCE = 600.0  # seconds that a busy machine may take for a start
LOCKED, AWAY = 30.0, 10.0  # seconds
End = Callable[[], object]


@dataclass(frozen=True)
class Fault:
    """What happens to the world, when, and for how long.

    Attributes:
        begin: brings it about; returns what ends it.
        lasts: seconds; None = until the command has ended.
        survived: whether the command has to end well by itself.
    """

    begin: Callable[[Place, Any], End]
    moment: str = IN_TRAINING
    lasts: float | None = None
    survived: bool = False
    served: bool = False


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)


def full_disk(place: Place, server: Any) -> End:
    """Store, artifacts, checkpoints and all lie on a small disk, and something else fills it."""
    filler = place.folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))  # a page
    return filler.unlink


def read_only_artifacts(place: Place, server: Any) -> End:
    folder = str(place.folder / "mlruns")
    _mount("--bind", folder, folder)
    _mount("-o", "remount,ro,bind", folder)
    return lambda: subprocess.run(["umount", folder], check=True)


def locked(place: Place, server: Any) -> End:
    """Another process holds the store for longer than SQLite itself waits (20 s, MLflow's setting)."""
    held = sqlite3.connect(place.folder / "mlflow.db", timeout=60, isolation_level=None)
    held.execute("begin exclusive")
    return lambda: (held.execute("rollback"), held.close())


class Server:
    """`mlflow server` on loopback, in front of a place's store and, as a proxy, of its artifacts."""

    def __init__(self, place: Place):
        from team.postgres import free_port

        self.port, self.place = free_port(), place
        with sqlite3.connect(place.folder / "mlflow.db") as connection:
            connection.execute("update experiments set artifact_location = 'mlflow-artifacts:/0'")
        connection.close()
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        words = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1", "--serve-artifacts",
                 "--backend-store-uri", self.place.uri, "--artifacts-destination",
                 str(self.place.folder / "mlruns")]  # fmt: skip
        quiet = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.place.folder / "server.log").open("ab") as log:
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

    def stop(self, number: int = signal.SIGTERM) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait()


def restarted(place: Place, server: Server) -> End:
    server.stop()
    return server.start


def killed(place: Place, server: Server) -> End:
    server.stop(signal.SIGKILL)
    return server.start


FAULTS = {
    "disk full": Fault(full_disk),
    "disk full before a model": Fault(full_disk, AT_UPLOAD),
    "artifacts read-only": Fault(read_only_artifacts, AT_UPLOAD),
    f"store locked, {LOCKED:.0f} s": Fault(locked, lasts=LOCKED, survived=True),
    f"server restarted, {AWAY:.0f} s away": Fault(restarted, lasts=AWAY, survived=True, served=True),
    f"server killed before an upload, {AWAY:.0f} s away":
        Fault(killed, AT_UPLOAD, lasts=AWAY, survived=True, served=True),
}  # fmt: skip


def disturbed(root: Path, place: Place, fault: Fault, at: int, server: Server | None) -> int:
    """The command, with the fault beginning when its effect `at` is reached; its exit code."""
    uri = server.uri if server else place.uri
    pid = os.fork()
    if pid == 0:
        os._exit(command(STAGE, root, place, "first", at, "wait", uri) & 0xFF)
    until = time.monotonic() + PATIENCE
    while len(saboteur.effects(place.folder / "first")) <= at:
        if time.monotonic() > until or os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise RuntimeError((place.folder / "first.output").read_text()[-2000:])
        time.sleep(0.02)
    end = fault.begin(place, server)
    (place.folder / f"first{saboteur.GO}").touch()
    if fault.lasts is not None:
        time.sleep(fault.lasts)
        end()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if fault.lasts is None:
        end()
    return code


def _logs_elsewhere(place: Place, folder: Path) -> None:
    """What watches the command must not run out of room itself."""
    folder.mkdir()
    for name in ("first", "first.output", f"first{saboteur.GO}"):
        (place.folder / name).symlink_to(folder / name)


def said(place: Place) -> str:
    """The line that the command ended with, its paths shortened."""
    lines = [x for x in (place.folder / "first.output").read_text().splitlines() if x.startswith("sslseg")]
    return re.sub(r"/[\w./-]+/(?=[\w.-]+)", "…/", lines[-1])[:200] if lines else ""


def one(name: str, base: Path, root: Path, whole: Whole) -> dict[str, Any]:
    """One fault; what came of it."""
    fault, begun, server = FAULTS[name], time.perf_counter(), None
    disk = base / name.replace(" ", "-").replace(",", "")
    disk.mkdir()
    small = fault.begin is full_disk
    if small:
        _mount("-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", str(disk))
    try:
        place = fresh(base, f"{disk.name}/place")
        if small:
            _logs_elsewhere(place, base / f"{disk.name}-logs")
        (place.folder / "mlruns").mkdir()
        server = Server(place) if fault.served else None
        uri = server.uri if server else place.uri
        code, faults = disturbed(root, place, fault, whole.effects.index(fault.moment), server), []
        if code:
            faults += finished_early(whole.facts, place)
        if bool(code) == fault.survived:
            faults.append(f"exit code {code}: {(place.folder / 'first.output').read_text()[-600:]}")
        if code and not said(place):
            faults.append("no clear line at the end")
        if code and command(STAGE, root, place, "again", uri=uri):
            faults.append("the same command again: " + (place.folder / "again.output").read_text()[-600:])
        if server:
            server.stop()
        faults += compare(whole.facts, facts(place))
        text = said(place) if code else ""
    finally:
        if server:
            server.stop(signal.SIGKILL)
        if small:
            subprocess.run(["umount", str(disk)], check=False)
    return {"moment": fault.moment, "exit code": code, "what is said": text, "the same command again": "" if not code
            else "equal to an undisturbed run" if not faults else "NOT equal", "faults": faults,
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=FAULTS)
    parser.add_argument("--record", action="store_true", help="into docs/reference/reliability.md")
    options = parser.parse_args()
    warm_up()
    base = Path(tempfile.mkdtemp(prefix="sslseg-faults-"))
    root = begin(base)
    whole = undisturbed(STAGE, base, root)
    failed = 0
    for name in options.faults:
        row = one(name, base, root, whole)
        print(json.dumps({"fault": name} | row), flush=True)
        failed += bool(row["faults"])
        if options.record:
            record.keep("faults", {name: row | {"faults": len(row["faults"])}})
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
