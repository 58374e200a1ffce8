"""Show how far the running sweeps are: cells, rates, failures and the time left, from the tracking store alone."""

import argparse
import shutil
import time

from sslseg.config.names import SslsegError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("sweep", nargs="*", help="run ID of a sweep, running or not; default: all that run")
    parser.add_argument(
        "--follow", type=float, metavar="SECONDS", help="show it again each so many seconds, to Ctrl-C"
    )


def run(options: argparse.Namespace) -> None:
    """Print a table for each sweep.

    Raises:
        SslsegError: there is no store, or no such sweep.
    """
    from sslseg.tracking import store

    uri = store.existing()
    if options.follow is not None and not 1 <= options.follow <= 86400:
        raise SslsegError(f"--follow: wanted seconds, from 1 to 86400, got {options.follow:g}")
    _show(options.sweep, uri)
    while options.follow:
        time.sleep(options.follow)
        print(flush=True)
        _show(options.sweep, uri)


def _show(asked: list[str], uri: str) -> None:
    from sslseg.tracking import store
    from sslseg.tracking.history import sweeps

    wanted = asked or sweeps.open_ones(uri)
    if not wanted:
        print(f"no sweep is running in {store.shown(uri)}")
    for run_id in wanted:
        found = sweeps.read(run_id, uri)
        table = sweeps.lines(found, shutil.get_terminal_size((160, 24)).columns)
        print(f"run {run_id}", *table, sep="\n", flush=True)
