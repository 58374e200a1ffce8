"""`make show`: the committed studies, each in a store of its own, and every committed figure made again from it."""

import argparse
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from analysis.page import make
from sslseg.config import flags, params
from sslseg.config.files import sha256
from sslseg.config.names import SslsegError
from sslseg.tracking import store
from sslseg.tracking.capsule import unpack
from sslseg.tracking.upkeep import sqlite

RESULTS = Path(__file__).parents[2] / "docs" / "results"
STUDY = "study.tar.gz"
TOLERANCE = 1e-6  # relative; two processors differed by 1.4e-7 under an optimiser
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])")
COMPARED = ("*.csv", "*.json")  # what a figure is drawn from; the pixels depend on the fonts that are there


def opened(packed: Path, folder: Path) -> str:
    """URI of a store that holds the packed study; made once per archive.

    Raises:
        SslsegError: see `unpacking.unpack`.
    """
    uri = sqlite.address(folder.resolve() / "mlflow.db")
    mark, digest = folder / "from.sha256", sha256(packed)
    if not mark.is_file() or mark.read_text(encoding="utf-8") != digest:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unpack.unpack(packed, store.ensure_store(uri))
        mark.write_text(digest, encoding="utf-8")
    return uri


def differing(made: Path, committed: Path) -> list[str]:
    """Names of the committed tables and records that came out otherwise, or not at all."""
    return [n for n in compared(committed) if not _same(made / n, committed / n)]


def _same(one: Path, other: Path) -> bool:
    """Equal but for the last digits of numbers, which another processor rounds otherwise."""
    if not one.is_file():
        return False
    mine, theirs = (path.read_text(encoding="utf-8") for path in (one, other))
    # as many on either side where the words between them are the same
    numbers = zip(NUMBER.findall(mine), NUMBER.findall(theirs), strict=False)
    return NUMBER.split(mine) == NUMBER.split(theirs) and all(
        math.isclose(float(a), float(b), rel_tol=TOLERANCE, abs_tol=TOLERANCE) for a, b in numbers
    )


def compared(committed: Path) -> list[str]:
    """Names of the files that `differing` looks at."""
    return sorted({p.name for pattern in COMPARED for p in committed.glob(pattern)})


def show(committed: Path, folder: Path, out: Path, dataset: str) -> int:
    """Unpack, draw, compare; returns the exit code.

    Raises:
        SslsegError: there is no packed study, or it is damaged.
    """
    packed = committed / STUDY
    if not packed.is_file():
        raise SslsegError(
            f"{packed}: there is no such file; the studies are in the checkout, not in the package"
        )
    uri = opened(packed, folder)
    os.environ["MLFLOW_TRACKING_URI"] = uri
    shutil.rmtree(out, ignore_errors=True)
    make.make(flags.resolve(params.Analyse(dataset=dataset)), out, None, uri)
    wrong, total = differing(out, committed), len(compared(committed))
    print(f"{total - len(wrong)} of {total} committed tables and records made again, to a millionth")
    if wrong:
        print(f"not as committed: {', '.join(wrong)}", file=sys.stderr)
    print(f"figures and page: {out / make.PAGE}")
    return 1 if wrong else 0


def main(argv: Iterable[str] | None = None) -> int:
    """Returns the exit code: 1 when something comes out otherwise than it was committed."""
    parser = argparse.ArgumentParser(prog="python -m analysis.page.show", description=__doc__)
    told = {
        "--committed": (None, "folder of a packed study and its tables; default: every one in docs/results"),
        "--folder": (Path(".sslseg/show"), "for the stores; made anew; default: %(default)s"),
        "--out": (Path("out/show"), "for the figures; made anew; default: %(default)s"),
    }
    for name, (usual, text) in told.items():
        parser.add_argument(name, type=Path, default=usual, help=text)
    parser.add_argument("--dataset", default="acdc", help="downstream dataset; default: %(default)s")
    asked = parser.parse_args(None if argv is None else list(argv))
    studies = [asked.committed] if asked.committed else sorted(p.parent for p in RESULTS.glob(f"*/{STUDY}"))
    try:
        return max(show(one, asked.folder / one.name, asked.out / one.name, asked.dataset) for one in studies)
    except SslsegError as error:
        print(f"analysis.page.show: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
