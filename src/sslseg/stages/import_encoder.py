"""Bring weights from elsewhere into the registry, their origin declared."""

import json
import os
import tempfile
from pathlib import Path

from sslseg.config import names
from sslseg.config.commands import command
from sslseg.config.params import ImportEncoder
from sslseg.config.texts import some
from sslseg.data import exposure
from sslseg.models import body, encoder
from sslseg.models.importers import checkpoint, imports, roles
from sslseg.models.importers.imports import Fetched
from sslseg.stages.intake import leaks
from sslseg.stages.outcome import cards, endings
from sslseg.tracking import identity, lineage, session
from sslseg.tracking.registry import logged, resolve
from sslseg.tracking.registry.resolve import Resolved
from sslseg.training.devices import fill  # noqa: F401 a hook of `launch`


def identify(p: ImportEncoder) -> str:
    """sha256 of the parameters, of the file where there is one, and of the code that reads it."""
    scheme, _, rest = p.source.partition(":")
    path = Path(rest).expanduser()
    content = ""
    if scheme == "file" and os.path.exists(path):  # not Path.exists, which raises on names that are too long
        content = checkpoint.digest(path)
    code = identity.code_digest("sslseg.stages.import_encoder")
    return identity.of(p, upstream_sha="", data=content, subset="", code=code)


def run(p: ImportEncoder, run: session.Run) -> None:
    """Fetch, adapt to the channels asked for, log and register."""
    found = imports.fetch(
        p.source, origin=p.origin, architecture=p.architecture, role=p.role, strip=p.strip,
        trained_on=p.trained_on, trained_by=p.trained_by, channels=p.channels,
    )  # fmt: skip
    run.tags(
        {
            names.TAG_UPSTREAM_RUN: names.SCRATCH,
            names.TAG_METHOD: found.method,
            names.TAG_DATASET: found.dataset,
            names.MODEL_DOMAIN: found.domain,
            names.MODEL_ORIGIN: found.origin,
            names.MODEL_ROLE: found.role,
            names.MODEL_NETWORK: found.network,
        }
    )
    hops = lineage.walk(run.id)
    run.tag(names.TAG_LINEAGE, lineage.text(hops))
    run.text(json.dumps(found.provenance, indent=2, sort_keys=True), "provenance.json")
    run.log(
        {
            "encoder/tensors": len(found.state),
            "encoder/parameters": sum(t.numel() for t in found.state.values()),
        }
    )
    content = body.sha256(found.state, found.architecture)
    extra = {"run_id": run.id, "origin": found.origin, "domain": found.domain, "dataset": found.dataset,
             "provenance": found.provenance, "body_sha256": content}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "encoder"
        sha = encoder.save(
            found.state,
            folder,
            architecture=found.architecture,
            channels=found.channels,
            normalisation=found.normalisation,
            extra=extra,
        )
        own = _made_here(p, run, sha, content)
        seen = leaks.imported(run, found.dataset, own)
        leaks.note(run, seen)
        exposure.write(folder, seen, origin=found.origin)
        resolve.log_encoder(
            run, folder, name=p.name or f"encoder-{found.architecture}", role=names.ROLE_IMPORTED,
            method=found.method, dataset=found.dataset, lineage=lineage.text(hops),
            card=_card(found, run, exposure.standing(seen)), sha256=sha,
            tags={names.MODEL_NETWORK: found.network},
        )  # fmt: skip
    endings.tell(
        *_said(found, declared=bool(p.trained_by)),
        f"imported {found.architecture} ({found.origin}) as the encoder of run {run.id}",
    )
    if not run.parent:
        endings.following("finetune", encoder=run.id, dataset="DATASET", data_root="FOLDER")


def _said(found: Fetched, *, declared: bool) -> list[str]:
    """What was taken out of a file, what was left in it, and what nobody knows of it."""
    known = found.provenance
    if "prefix" not in known:  # no file
        return []
    others = "; ".join(known["other_networks"])
    lines = [
        f"network taken: {_network(found)}" + (f"; also in the file: {others} (-P role=)" if others else "")
    ]
    if left := [f"{part} ({count})" for part, count in known["left"].items()]:
        lines.append(f"left in the file: {some(left, 8)}")
    if known["drawn"]:
        lines.append(
            f"warning: the file holds a U-Net's encoder; {len(known['drawn'])} tensors behind its deepest map are not in it "
            f"and were drawn at random ({some(known['drawn'])}): no U-Net reads them, a pretraining does"
        )
    if found.method == roles.UNKNOWN:
        lines.append("the file does not say how it was trained: -P trained_by= does")
    else:
        why = "as declared" if declared else "as what is in the file suggests: -P trained_by= says otherwise"
        lines.append(f"trained by {found.method}, {why}")
    if known["files"]:
        lines.append(f"read of the folder: {', '.join(known['files'])}")
    return lines


def _network(found: Fetched) -> str:
    known = found.provenance
    place = f"under `{known['prefix']}`" if known["prefix"] else "at the top"
    return f"{found.network or 'the only one'} (role {found.role}), {place}, in the names of {known['names']}"


def _made_here(p: ImportEncoder, run: session.Run, sha: str, content: str) -> Resolved | None:
    """The model of this store that has the weights of a file; said, and written on the run."""
    model = logged.made_here(sha, content) if p.source.startswith("file:") else None
    if model is None:
        return None
    run.tag(names.TAG_SAME_WEIGHTS, model.source_run_id)
    print(
        f"warning: these are the weights that run {model.source_run_id} of this store has made "
        f"({model.tags.get(names.MODEL_LINEAGE)}); -P encoder={model.source_run_id} keeps their lineage"
    )
    return resolve.resolve(f"models:/{model.model_id}", cache=p.cache)


def _card(found: Fetched, run: session.Run, standing: str) -> str:
    """Markdown for the registry. What was declared by a person says so."""
    rows = {
        "origin": found.origin,
        "trained by / on (as declared or known)": f"{found.method} / {found.dataset or 'unknown'}",
        "patients it has seen": standing or "on record",
        "architecture": f"{found.architecture}, {found.channels} input channel(s)",
        "network of the file": _network(found) if "prefix" in found.provenance else "the only one",
        "normalisation": "mean {mean}, sd {std} ({known_from})".format(**found.normalisation),
        "run": f"`{run.id}`",
    }
    use = command(names.FINETUNE, encoder=run.id, dataset="NAME", budget=30)
    return "\n".join(
        ["# Imported encoder", "", *cards.table(rows.items()), "", "## Use", "", *cards.fenced([use])]
    )
