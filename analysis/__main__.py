"""`python -m analysis --out docs/results`: figures, tables and the page, without a run of their own."""

import sys
from pathlib import Path

from analysis.page import make
from sslseg.config import flags, params
from sslseg.config.names import SslsegError

OUT = "out/analysis"


def main(argv: list[str] | None = None) -> int:
    """Make everything from the store that MLFLOW_TRACKING_URI names; returns the exit code."""
    try:
        p = flags.resolve(
            flags.parse(params.Analyse, sys.argv[1:] if argv is None else argv, "python -m analysis")
        )
        folder = Path(p.out or OUT).resolve()
        make.make(p, folder, p.experiment or None)
        print(f"written to {folder}")
    except SslsegError as error:
        print(f"analysis: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
