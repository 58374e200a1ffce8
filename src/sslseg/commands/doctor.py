"""Look for dead runs, changed weights, half-made models and leftovers; --fix mends, --prune thins out."""

from __future__ import annotations

import argparse

from sslseg import names


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument(
        "--fix", action="store_true", help="do what is proposed; without it nothing is changed"
    )
    parser.add_argument(
        "--cache", default="", help="folder of checkpoints; default: SSLSEG_CACHE, else .sslseg"
    )
    parser.add_argument(
        "--prune", action="store_true", help="propose encoders of earlier epochs that nothing needs"
    )
    parser.add_argument(
        "--keep", nargs="*", default=(), help="run IDs and models:/… that --prune leaves alone"
    )


def run(options: argparse.Namespace) -> None:
    """Print what is wrong and what would be done; do it with --fix.

    Raises:
        SslsegError: a grave fault is left; or --prune --fix while runs are under way.
    """
    from sslseg import doctor, store, tracking

    uri = store.tracking_uri()
    path = store.sqlite_path(uri)
    if path and not path.exists():
        raise names.SslsegError(f"there is no tracking store {path}; MLFLOW_TRACKING_URI says where it is")
    left = 0
    findings = list(doctor.examine(uri, tracking.cache_folder(options.cache)))
    for found in findings:
        print(f"{found.subject}: {found.fault}" + (f"\n    -> {found.action}" if found.action else ""))
    for found in findings:
        if options.fix and found.mend:
            store.retry(found.mend)
            print(f"done: {found.subject}: {found.action}")
        elif found.grave:
            left += 1
    if options.prune:
        _prune(options, uri)
    if left:
        raise names.SslsegError(
            f"{left} faults are left" + ("" if options.fix else "; --fix mends what it can")
        )
    print(f"{len(findings)} findings, no grave fault is left")


def _prune(options: argparse.Namespace, uri: str) -> None:
    from sslseg import retention

    doomed = retention.plan(options.keep, uri)
    if options.fix and doomed:
        retention.check_quiet(uri)
    for encoder in doomed:
        also = "".join(f", models:/{name}/{version}" for name, version in encoder.versions)
        word = "delete" if options.fix else "would delete"
        what = f"models:/{encoder.model_id}{also}  {encoder.name} of run {encoder.run_id}"
        print(f"{word} {what}, {encoder.size:,} bytes")
        if options.fix:
            retention.delete(encoder, uri)
    print(
        f"{len(doomed)} encoders, {sum(e.size for e in doomed):,} bytes"
        + ("" if options.fix else "; --fix deletes")
    )
