"""`python -m sslseg <subcommand>`: look things up. Stages are MLflow entry points, see MLproject."""

from __future__ import annotations

import argparse
import sys

from sslseg.config import plugins
from sslseg.config.names import SslsegError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sslseg", description="Look things up; leaves no run.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in plugins.names("commands"):
        module = plugins.load("commands", name)
        summary = (module.__doc__ or "").splitlines()[0]
        module.arguments(commands.add_parser(name, help=summary, description=summary))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit code. Errors are one line on stderr."""
    options = _parser().parse_args(argv)
    try:
        plugins.load("commands", options.command).run(options)
    except SslsegError as error:
        print(f"sslseg {options.command}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
