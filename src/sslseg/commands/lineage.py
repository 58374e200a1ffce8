"""Show where an encoder or a U-Net comes from, stage by stage, and hash its stored weights again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sslseg.config import names

if TYPE_CHECKING:
    from sslseg.tracking.registry.stored import Check


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the subcommand takes."""
    parser.add_argument("encoder", help="run ID, runs:/… or models:/…")
    parser.add_argument("--epoch", type=int, help="which kept epoch of a run; default: the last")
    parser.add_argument("--role", choices=(names.ROLE_TARGET, names.ROLE_ONLINE), default=names.ROLE_TARGET,
                        help="which of a pretraining's networks; default: %(default)s")  # fmt: skip
    parser.add_argument(
        "--kind",
        choices=(names.KIND_ENCODER, names.KIND_SEGMENTER),
        default="",
        help=f"which of a run's models; default: {names.KIND_ENCODER}",
    )


def run(options: argparse.Namespace) -> None:
    """Print the chain, root first, and whether every digest still holds.

    Raises:
        EncoderError: the encoder is unknown, or stored weights were changed.
        SslsegError: there is no store.
    """
    from sslseg.tracking import lineage, store
    from sslseg.tracking.registry import stored

    store.existing()
    hops = lineage.of_model(options.encoder, role=options.role, epoch=options.epoch, kind=options.kind)
    print(lineage.text(hops))
    checks = {check.hop.run_id: check for check in stored.verify(hops)}
    for hop in hops:
        check = checks.get(hop.run_id)
        state = "not stored as a model" if check is None else _state(check)
        state += "; the run was deleted for good, and this is what is left of it" if hop.gone else ""
        print(f"  {hop.name:24} run {hop.run_id}  {hop.stage:14} sha256 {hop.sha[:12] or '-':12}  {state}")
        if hop.origin:
            print(f"  {'':24} declared origin: {hop.origin}")
        if hop.note:
            print(f"  {'':24} {hop.note}")
    broken = [check for check in checks.values() if check.actual and not check.ok]
    if broken:
        rows = "; ".join(f"run {c.hop.run_id}: expected {c.hop.sha}, actual {c.actual}" for c in broken)
        raise names.EncoderError(f"stored weights were changed: {rows}")


def _state(check: Check) -> str:
    if not check.actual:
        return "its file is gone, or cannot be reached"
    return "unchanged" if check.ok else "CHANGED"
