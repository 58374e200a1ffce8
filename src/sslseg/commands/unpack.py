"""Add the runs of an archive of `sslseg pack` to the tracking store, beside those that it has."""

import argparse
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("file", type=Path, help="the archive")
    parser.add_argument(
        "--artifacts", type=Path, help="into a PostgreSQL: the --artifacts-destination of its mlflow server"
    )


def run(options: argparse.Namespace) -> None:
    """Add all of it or nothing; what an earlier unpacking has added is no error.

    Raises:
        SslsegError: there is no such file; or see `unpack.unpack`.
    """
    from sslseg.tracking import store
    from sslseg.tracking.capsule import archive, unpack

    archive.check_there(options.file)  # before a store is made for nothing
    uri = store.ensure_store()
    found = unpack.unpack(options.file, uri, options.artifacts)
    added = f"runs added to {store.shown(uri)}: {len(found)}"
    print(f"{added if found else f'nothing to add: {store.shown(uri)} has them all'}; next: sslseg encoders")
