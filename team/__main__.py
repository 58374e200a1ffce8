"""`python -m team`: start it all, show that it works and that it refuses, leave it up until Enter."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from team import accounts, demo, refusals, server


def main() -> int:
    """Returns 0 when the figures are equal and every attempt of a stranger was refused."""
    if reason := server.missing():
        print(f"team: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="sslseg-team-") as scratch:
        folder = Path(scratch)
        print("starting PostgreSQL and mlflow server on loopback …", flush=True)
        with server.started(folder / "server") as made:
            accounts.add(made)
            good = _same(made, folder) and _refused(made)
            _leave_up(made)
    return 0 if good else 1


def _same(made: server.Server, folder: Path) -> bool:
    data = demo.phantom(folder / "data")
    places = {
        "SQLite": {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/file/mlflow.db"},
        "server": made.environment(accounts.MEMBER),
    }
    for name, environment in places.items():
        start = time.monotonic()
        demo.sweep(data, folder / f"cache-{name}", environment)
        print(f"{name}: a sweep with {demo.WORKERS} workers, {time.monotonic() - start:.0f} s", flush=True)
        demo.figures(folder / name, environment)
    other = demo.differences(folder / "SQLite", folder / "server")
    print(f"tables of the figures: {'different in ' + ', '.join(other) if other else 'equal'}", flush=True)
    return not other


def _refused(made: server.Server) -> bool:
    prey, good = refusals.prey(made), True
    for user, wanted in (("", 401), (accounts.GUEST, 403)):
        found = refusals.answers(made, user, prey)
        passed = [does for does, status in found.items() if status != wanted]
        counts = ", ".join(f"{status} {n} times" for status, n in sorted(Counter(found.values()).items()))
        print(
            f"{user or 'nobody'}: {counts}{'; NOT refused: ' + ', '.join(passed) if passed else ''}",
            flush=True,
        )
        good = good and not passed
    return good


def _leave_up(made: server.Server) -> None:
    """On a terminal alone."""
    if not sys.stdin.isatty():
        return
    print(f"\n{made.uri}/#/experiments/0/runs?workflowType=machine_learning")
    for user, password in made.passwords.items():
        print(f"  {user:8} {password}")
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        input("Enter stops it, and nothing is kept. ")


if __name__ == "__main__":
    sys.exit(main())
