"""List the registered encoders: reference, run, lineage."""

from __future__ import annotations

import argparse

from sslseg.config import names


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument(
        "--kind",
        choices=(names.KIND_ENCODER, names.KIND_SEGMENTER),
        default=names.KIND_ENCODER,
        help="which models; default: %(default)s",
    )


def run(options: argparse.Namespace) -> None:
    """Print one line per registered version, newest first.

    Raises:
        SslsegError: there is no store.
    """
    from sslseg.tracking import store
    from sslseg.tracking.registry import resolve

    uri = store.existing()
    columns = {
        "reference": lambda row: f"models:/{row['name']}/{row['version']}",
        "alias": lambda row: row["aliases"],
        "role": lambda row: row.get(names.MODEL_ROLE, ""),
        "epoch": lambda row: row.get(names.MODEL_EPOCH, ""),
        "lineage": lambda row: row.get(names.MODEL_LINEAGE, ""),
        "run": lambda row: row["run_id"],
    }
    rows = [{title: read(row) for title, read in columns.items()} for row in resolve.versions(options.kind)]
    if not rows:
        print(f"no {options.kind} is registered yet in {store.shown(uri)}")
        return
    table = [dict(zip(columns, columns, strict=True)), *rows]
    widths = {title: max(len(row[title]) for row in table) for title in columns}
    for row in table:
        print("  ".join(row[title].ljust(widths[title]) for title in columns).rstrip())
