"""Take finished runs of earlier code for results of this code: their identity is written anew."""

import argparse
from typing import Any

from sslseg.config import names


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("run", help="run ID of a sweep, whose cells are meant, or of a single run")
    parser.add_argument("--write", action="store_true", help="do it; without it the runs are only listed")
    parser.add_argument("--cache", help="folder of prepared data and checkpoints; default: the runs'")
    parser.add_argument("--data_root", help="folder of the data, where it has moved; default: the runs'")


def run(options: argparse.Namespace) -> None:
    """Print each run, the commit that it was made at, and whether this code would make it again.

    Whoever writes vouches that the code since then gives the same numbers; `sslseg rerun` of one run shows it.

    Raises:
        SslsegError: there is no store, or no such run; or of some runs the settings or the data are not there any more.
    """
    from sslseg.tracking import session, store

    uri = store.existing()
    found = session.search({names.TAG_SWEEP: options.run}, uri=uri, status="FINISHED")
    found = found or [session.follow(options.run, uri)]
    changed, faults = 0, 0
    for one in (one for one in found if names.TAG_IDENTITY in one.data.tags):
        run_id, before = one.info.run_id, one.data.tags[names.TAG_IDENTITY]
        try:
            commit, now = _today(one, options)
            said = f"of commit {commit}: " + ("as this code makes it" if now == before else "of other code")
        except names.SslsegError as error:
            faults, now, said = faults + 1, before, str(error)
        print(f"{run_id}  {one.info.run_name}: {said}")
        changed += now != before
        if options.write and now != before:
            made = one.data.tags.get(names.TAG_IDENTITY_MADE, before)
            store.client(uri).set_tag(run_id, names.TAG_IDENTITY_MADE, made)
            store.client(uri).set_tag(run_id, names.TAG_IDENTITY, now)
    done = "taken over" if options.write else "of other code; --write takes them over"
    print(f"{changed} of {len(found)} runs {done}")
    if faults:
        raise names.SslsegError(f"{faults} runs cannot be taken over")


def _today(one: Any, options: argparse.Namespace) -> tuple[str, str]:
    """The commit that an MLflow run was made at, and the identity that this code gives it.

    Raises:
        SslsegError: no manifest, a setting that is no more, or data of another content.
    """
    from sslseg import execute
    from sslseg.data import training_set
    from sslseg.tracking import manifest

    written = manifest.read(one.info.run_id)
    params = manifest.params(written, cache=options.cache, data_root=options.data_root)
    digest = one.data.tags.get(names.TAG_DATA_DIGEST)
    if digest and digest != training_set.store(params).digest:
        raise names.DataError(f"its data are not those of {params.data_root or params.dataset} today")
    return written["code"]["commit"][:9], execute.stage_module(written["stage"]).identify(params)
