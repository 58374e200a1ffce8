"""Start the stage of a run again from its manifest, and compare every metric."""

from __future__ import annotations

import argparse

from sslseg import names

EXPERIMENT = "reruns"  # apart, so that no figure counts a run twice


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("run", help="run ID")
    parser.add_argument("--cache", help="folder of prepared data and checkpoints; default: the run's")
    parser.add_argument("--data_root", help="folder of the data, where it has moved; default: the run's")


def run(options: argparse.Namespace) -> None:
    """Print one line per metric, equal or different, and why it may differ.

    Raises:
        SslsegError: there is no store, the run has no manifest, or a metric differs.
    """
    from sslseg import flags, launch, manifest, reruns, store

    store.existing()
    written = manifest.read(options.run)
    texts = dict(written["params"])
    texts |= {
        key: getattr(options, key) for key in ("cache", "data_root") if getattr(options, key) is not None
    }
    stage, method = written["stage"], written["method"] or None
    params = flags.resolve(flags.from_mapping(launch.parameters_of(stage, method), texts))
    place = store.ensure_experiment(EXPERIMENT)
    tags = {reruns.TAG_RERUN_OF: written["run_id"]}
    again = launch.execute(
        stage, params, method=method, name=f"rerun of {written['run_id'][:8]}", experiment_id=place, tags=tags
    )
    reruns.forget_identity(again)
    rows = reruns.compare(written["run_id"], again)
    for row in rows:
        print(f"{row.key:32} {row.steps:6} values  {row.verdict}")
    for line in manifest.differences(written, manifest.read(again)):
        print(f"  {line}")
    different = [row.key for row in rows if not row.equal]
    print(
        f"run {again}: {len(rows) - len(different)} of {len(rows)} metrics equal to run {written['run_id']}"
    )
    if different or not rows:
        raise names.SslsegError(
            f"{len(different)} of {len(rows)} metrics differ: {', '.join(different) or 'none was logged'}"
        )
