"""Look for dead runs, changed weights and data, half-made models and leftovers; --fix mends, --prune thins out.

A run whose process is not to be seen from here is dead after SSLSEG_DEAD_AFTER minutes without a heartbeat (30).
"""

import argparse

from sslseg.config import names

FLAGS = {
    "fix": "do what is proposed; without it nothing is changed",
    "resume": "with --fix: go on with the dead runs that can be gone on with",
    "download": "fetch the files that a server keeps too, and hash them",
    "prune": "propose encoders of earlier epochs that nothing needs",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    place = "folder of checkpoints; default: SSLSEG_CACHE, else .sslseg"
    for flag, said in FLAGS.items():
        parser.add_argument(f"--{flag}", action="store_true", help=said)
    parser.add_argument("--cache", default="", help=place)
    parser.add_argument(
        "--keep", nargs="*", default=(), help="run IDs and models:/… that --prune leaves alone"
    )


def run(options: argparse.Namespace) -> None:
    """Print what is wrong and what would be done; do it with --fix.

    Raises:
        SslsegError: there is no store; a grave fault is left; or --prune --fix while runs are under way.
    """
    from sslseg.config import caches
    from sslseg.data.slices import slice_store
    from sslseg.tracking import store
    from sslseg.tracking.upkeep import doctor

    uri, cache = store.existing(), caches.cache_folder(options.cache)
    left = 0
    findings = [doctor.Finding("prepared data", fault) for fault in slice_store.faults(cache)]
    findings += doctor.examine(uri, cache, options.download)
    for found in findings:
        print(f"{found.subject}: {found.fault}" + (f"\n    -> {found.action}" if found.action else ""))
    for found in findings:
        if options.fix and found.mend:
            found.mend()
            print(f"done: {found.subject}: {found.action}")
        elif found.grave:
            left += 1
    if options.resume:
        left += sum(not _resume(found.run_id, options.fix) for found in findings if found.run_id)
    if options.prune:
        _prune(options, uri)
    if left:
        raise names.SslsegError(
            f"faults that are left: {left}" + ("" if options.fix else "; --fix mends what it can")
        )
    print(f"findings: {len(findings)}; no grave fault is left")


def _resume(run_id: str, fix: bool) -> bool:
    """Give the command of a dead run again, or say so; False when it cannot be, or fails."""
    from sslseg import execute
    from sslseg.tracking import manifest, store

    try:
        written = manifest.read(run_id)
    except names.SslsegError as error:
        print(f"cannot go on with run {run_id}, it died before it had written its command: {error}")
        return False
    if written["archive"]:
        print(
            f"run {run_id} came out of an archive and is not gone on with; `sslseg rerun {run_id}` shows its command"
        )
        return False
    stage, method = written["stage"], written["method"] or None
    if not fix:
        print(f"would go on with run {run_id}: the same {stage} again")
        return True
    run = store.client().get_run(run_id)
    try:
        params = manifest.params(written)
        place, name = run.info.experiment_id, run.info.run_name
        ended = execute.execute(stage, params, method=method, name=name, experiment_id=place)
    except names.SslsegError as error:
        print(f"run {run_id} was gone on with and failed: {error}")
        return False
    print(
        f"done: run {run_id}: " + ("gone on with to its end" if ended == run_id else f"done again as {ended}")
    )
    return True


def _prune(options: argparse.Namespace, uri: str) -> None:
    from sslseg.tracking.upkeep import retention

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
