"""A few hundred tiny stages in one warm process, as a worker of a sweep runs them: do memory and files grow?

python -m tests.reliability.long.soak --stages 300 [--clear] [--out soak.csv] [--record]

Every third is a pretraining, which registers its encoders; the two after it are fine-tunings that start from it.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.reliability.long import record

STAGES, WARM = 300, 60  # allocator and caches fill during the first ones
MB = 1e6
GROWTH = 5.0  # MB in 100 stages that is still called flat: a hundredth of what the process has


def run(stages: int, seconds: float, folder: Path, clear: bool = False) -> Iterator[dict[str, float]]:
    """What the process holds after each of the stages, until their number or the time is over.

    Args:
        clear: empty MLflow's cache of artifact repositories after each, which keeps up to 1,024 of them, three a
            stage: what grows then is somebody else's.
    """
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.environ["TQDM_DISABLE"] = "1"
    import psutil
    import torch
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

    from sslseg.data.phantom import tree
    from tests.fixtures.tiny_runs import Tiny

    torch.set_num_threads(1)
    data = tree.write(folder / "data", patients=6, seed=1, size=64, slices=3)
    tiny, process = Tiny(data, data, folder / "cache"), psutil.Process()
    upstream, begun = "", time.monotonic()
    for i in range(stages):
        start = time.monotonic()
        if start - begun > seconds:
            return
        if i % 3 == 0:
            upstream = tiny.run("pretrain", seed=i)
        else:
            tiny.run("finetune", seed=i, encoder=upstream)
        took = time.monotonic() - start
        if clear:
            _artifact_repos_cache.clear()
        gc.collect()
        yield {
            "stage": i, "seconds": round(took, 3), "rss_mb": round(process.memory_info().rss / MB, 2),
            "files": process.num_fds(), "threads": process.num_threads(),
        }  # fmt: skip


def summary(found: list[dict[str, float]], warm: int) -> dict[str, float]:
    """After the first `warm` stages: growth per 100 stages by a straight line, and the range."""
    kept = found[warm:]
    shown: dict[str, float] = {"stages": len(found), "of them warming up": warm}
    for name, title in (("rss_mb", "memory, MB"), ("files", "open files"), ("threads", "threads")):
        values = np.array([row[name] for row in kept])
        slope = round(100 * float(np.polyfit(np.arange(len(values)), values, 1)[0]), 2) + 0.0  # never -0.0
        shown |= {f"{title}, least": round(float(values.min()), 1), f"{title}, most": round(float(values.max()), 1),
                  f"{title}, growth in 100": slope}  # fmt: skip
    shown["median seconds of a stage"] = round(float(np.median([row["seconds"] for row in kept])), 2)
    return shown


def grown(shown: dict[str, float]) -> bool:
    """Whether any of the three is not flat."""
    more = shown["memory, MB, growth in 100"] > GROWTH
    return more or any(shown[f"{t}, growth in 100"] > 0.5 for t in ("open files", "threads"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, default=STAGES)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end after so many, whatever the number"
    )
    parser.add_argument("--warm", type=int, default=WARM)
    parser.add_argument(
        "--clear", action="store_true", help="empty MLflow's cache of artifact repositories after each stage"
    )
    parser.add_argument("--out", type=Path, help="a row per stage")
    parser.add_argument("--record", action="store_true", help="into docs/reference/reliability.md")
    asked = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="sslseg-soak-") as scratch:
        for row in run(asked.stages, asked.minutes * 60, Path(scratch), asked.clear):
            found.append(row)
            if asked.out:  # as it goes: a long run that is interrupted leaves what it has seen
                with asked.out.open("a" if row["stage"] else "w", newline="") as file:
                    csv.writer(file).writerows([row.values()] if row["stage"] else [row, row.values()])
    shown = summary(found, min(asked.warm, len(found) // 2))
    print(json.dumps(shown))
    if asked.record:
        record.keep("soak", {name: {"": number} for name, number in shown.items()})
    sys.exit(grown(shown))


if __name__ == "__main__":
    main()
