"""What an export says of itself, for people and for programs."""

from __future__ import annotations

from sslseg.models.exporters import proof
from sslseg.models.exporters.proof import Source, Written
from sslseg.stages.outcome import cards
from sslseg.tracking.registry.resolve import Resolved


def table(given: Source, model: Resolved, written: list[Written]) -> dict:
    """All of it for a program."""
    known = {"model": model.model_id, "run": model.run_id, "sha256": model.sha256, "architecture": given.architecture,
             "channels": given.channels, "allowed_gap": proof.ALLOWED, "formats": [w.row() for w in written]}  # fmt: skip
    return known | {
        key: given.config[key]
        for key in ("classes", "law", "spacing", "pretrained_cfg")
        if key in given.config
    }


def text(given: Source, model: Resolved, written: list[Written]) -> str:
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
