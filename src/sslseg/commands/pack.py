"""Put a sweep or an experiment into one file: runs, metrics, artifacts, registry entries."""

import argparse
from pathlib import Path

from sslseg.config import names
from sslseg.config.texts import some


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("study", help="run ID of a sweep, or name or ID of an experiment")
    parser.add_argument("file", type=Path, help="the archive to write, as study.tar.gz")
    parser.add_argument(
        "--artifacts",
        type=Path,
        help="out of a server's database: the --artifacts-destination of its mlflow server",
    )
    parser.add_argument(
        "--public",
        action="store_true",
        help="parameters, metrics and tags alone: no weights, images or paths",
    )


def run(options: argparse.Namespace) -> None:
    """Write the archive.

    Raises:
        SslsegError: the file is there, there is no store, or see `pack.pack`.
    """
    from sslseg.tracking import store
    from sslseg.tracking.capsule import pack

    if options.file.exists():
        raise names.SslsegError(f"{options.file} is there already")
    uri = store.existing()
    runs, size, going = pack.pack(options.study, options.file, uri, options.artifacts, options.public)
    print(f"{options.file}: {runs} runs, {size:,} bytes")
    if going:
        print(
            f"left out, for they have not ended or start from one that has not: {some(going)}; pack again then, and unpack "
            "joins the two archives. `sslseg doctor` closes runs whose process is dead"
        )
    print(f"next, in the folder of the store that shall have them: sslseg unpack {options.file.resolve()}")
