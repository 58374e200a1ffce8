"""Add the runs of an archive of `sslseg pack` to the tracking store."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("file", type=Path, help="the archive")


def run(options: argparse.Namespace) -> None:
    """Add all of it or nothing.

    Raises:
        SslsegError: see `packing.unpack`.
    """
    from sslseg import packing, store

    uri = store.ensure_store()
    found = packing.unpack(options.file, uri)
    print(f"{len(found)} runs are now in {uri}")
