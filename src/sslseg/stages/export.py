"""An encoder or a fine-tuned U-Net in the files of other programs, each proven to compute the same."""

import json
import shutil
import tempfile
from pathlib import Path

from sslseg.config import names
from sslseg.config.names import EXPORT_FILE, ParamError
from sslseg.config.params import Export
from sslseg.models.exporters import formats, proof
from sslseg.models.exporters.proof import Source, Written
from sslseg.stages.intake import upstream
from sslseg.stages.outcome import cards
from sslseg.tracking import lineage, session
from sslseg.tracking.registry import resolve
from sslseg.tracking.registry.resolve import Resolved
from sslseg.training import devices
from sslseg.training.devices import fill  # noqa: F401 a hook of `launch`

FOLDER = "export"  # of the run's artifacts


def run(p: Export, run: session.Run) -> None:
    """Write, compare and log every format; copy all to `out`.

    Raises:
        ParamError: a format that was asked for is not to be had, or `out` holds files already.
        EncoderError: the model is unknown or damaged, or a file computes something else.
    """
    devices.use(p)
    out = Path(p.out).expanduser() if p.out else None
    if out and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ParamError(f"out: {out} is there already and not an empty folder; name another")
    model = resolve.resolve(p.model, p.role, p.epoch, p.kind, cache=p.cache)
    run.tags(model.upstream_tags | {names.TAG_LINEAGE: lineage.text(upstream.ancestry(model, p.cache))})
    run.input_model(model.model_id)
    given = formats.source(model.path, p.kind)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / FOLDER
        written = formats.write(given, folder, p.formats)
        (folder / EXPORT_FILE).write_text(
            json.dumps(_for_programs(given, model, written), indent=1) + "\n", encoding="utf-8"
        )
        (folder / "README.md").write_text(_for_people(given, model, written), encoding="utf-8")
        run.artifact(folder, FOLDER)
        if out:
            shutil.copytree(folder, out, dirs_exist_ok=True)
    run.log({f"{names.EXPORT}/gap/{w.format}": w.gap for w in written if not w.skipped})
    run.client.set_logged_model_tags(model.model_id, {names.MODEL_EXPORT: run.id})
    run.client.set_tag(model.run_id, names.MODEL_EXPORT, run.id)
    for w in written:
        print(
            f"{w.format:<12} "
            + (f"not written: {w.skipped}" if w.skipped else f"{w.file}, {w.gap:.1e} from its source")
        )
    print(f"artifacts of run {run.id}: {FOLDER}/" + (f"; also in {out}" if out else ""))
    print(f"next: {FOLDER}/README.md has the lines that open each of them")


def _for_programs(given: Source, model: Resolved, written: list[Written]) -> dict:
    """What an export says of itself, for a program."""
    known = {"model": model.model_id, "run": model.run_id, "sha256": model.sha256, "architecture": given.architecture,
             "channels": given.channels, "allowed_gap": proof.ALLOWED, "formats": [w.row() for w in written]}  # fmt: skip
    return known | {
        key: given.config[key]
        for key in ("classes", "law", "spacing", "pretrained_cfg")
        if key in given.config
    }


def _for_people(given: Source, model: Resolved, written: list[Written]) -> str:
    """What is in the folder, how it is opened, and what its images have to be like."""
    cfg = given.config.get("law") or given.config["pretrained_cfg"]
    size = f"H and W {given.own}" if given.own else "H and W multiples of 32"
    rows = [(w.format, f"`{w.file}`: {w.opens}; {w.gap:.1e} from its source" if not w.skipped else f"not written: {w.skipped}")
            for w in written]  # fmt: skip
    gives = "logits [B, classes, H, W]" if "classes" in given.config else "features [B, F]"
    lines = [
        f"# {given.kind}, {given.architecture}, of run {model.run_id}", "", *cards.table(rows), "",
        f"Images in: float32 [B, {given.channels}, H, W], {size}; out: {gives}. Intensities are clipped to the 1st and 99th "
        f"percentile of their volume, mapped to [0, 1], and then (v - mean) / sd with mean {cfg.get('mean')} and sd "
        f"{cfg.get('std')}.",
    ]  # fmt: skip
    if "classes" in given.config:
        mm = given.config["spacing"]
        lines += [
            f"Classes: {', '.join(given.config['classes'])}. Pixels: {f'{mm} mm' if mm else 'as in the files'}."
        ]
    return "\n".join(lines) + "\n"
