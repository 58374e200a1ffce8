"""The card of an encoder or a model: markdown that the UI shows beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sslseg.config import flags, names
from sslseg.config.commands import command
from sslseg.config.params import Finetune, Machine, Pretrain
from sslseg.data.training_set import Inputs
from sslseg.tracking import lineage
from sslseg.tracking.lineage import Hop

if TYPE_CHECKING:  # it builds networks, and a sweep's driver needs none
    from sslseg.stages.intake.upstream import Start


def table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of a markdown table without a head. Values may come from a user, a file or a tag."""
    return ["| | |", "|---|---|", *(f"| {key} | {word(value)} |" for key, value in rows)]


def word(text: str) -> str:
    """`text` as text on one line of markdown: no row, heading, fence or element is made of it."""
    line = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return line.replace("```", "\\`\\`\\`")


def fenced(lines: Sequence[str]) -> list[str]:
    """Lines as they are, in a fence that none of them closes; what is not printable is spelled out."""
    shown = [line if line.isprintable() else repr(line) for line in lines]
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence, *shown, fence]


def _head(title: str, start: Start, hops: Sequence[Hop]) -> list[str]:
    run, data, store = start.run, start.data, start.data.store
    tags = run.client.get_run(run.id).data.tags
    standing, apart = tags.get(names.TAG_EXPOSURE, ""), tags.get(names.TAG_APART, "no")
    seen = "on record: compared with val and test before each fine-tuning"
    law = f"{data.intensity.kind}, mean {_numbers(data.intensity.mean)}, sd {_numbers(data.intensity.std)}"
    rows = [
        ("lineage", lineage.text(hops)),
        ("run", f"`{run.id}`"),
        ("architecture", f"{start.source.architecture}, {store.channels} input channel(s)"),
        ("data", f"{store.dataset}, {len(data.rows['train'])} train slices, digest `{store.digest[:12]}`"),
        ("data licence", store.licence),
        ("spacing", f"{store.spacing} mm" if store.spacing else "as in the files"),
        ("normalisation", law),
        ("patients it has seen", f"{seen}; of imported weights {standing}" if standing else seen),
    ]
    if apart not in ("no", "unknown"):
        rows.append(("it started from weights of other data", apart))
    return [f"# {word(title)}", "", *table(rows), ""]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.4g}" for v in values)


def _recipe(p: Machine) -> list[str]:
    texts = flags.texts(p, identity_only=True)
    lines = [f"{name}={text}" for name, text in texts.items() if text != ""]
    return ["## Recipe", "", *fenced(lines), ""]


def _hops(hops: Sequence[Hop]) -> list[str]:
    lines = [
        f"{i}. {word(hop.name)} (run `{hop.run_id}`{''.join(f', {word(said)}' for said in (hop.origin, hop.note) if said)})"
        for i, hop in enumerate(hops, 1)
    ]
    return ["## Where it comes from", "", *(lines or ["random weights"]), ""]


def encoder(
    start: Start[Pretrain] | Start[Finetune], hops: Sequence[Hop], signs: dict[str, float] | None = None
) -> str:
    """Card of an encoder.

    Args:
        signs: vital signs of a self-supervised encoder; None = it comes out of a fine-tuning.
    """
    lines = _head(f"Encoder: {lineage.text(hops)}", start, hops)
    if signs:
        lines += ["## Vital signs", "", *(f"- {name}: {value:.4g}" for name, value in signs.items()), ""]
    folder = "FOLDER" if start.p.data_root else ""  # its place is this machine's, and cards travel
    data = {"dataset": start.data.store.dataset, "data_root": folder}
    return _whole(lines, start, hops, command(names.FINETUNE, encoder=start.run.id, **data, budget=30))


def _whole(lines: Sequence[str], start: Start, hops: Sequence[Hop], use: str) -> str:
    """A card with what all of them end with."""
    return "\n".join([*lines, "## Use", "", *fenced([use]), "", *_hops(hops), *_recipe(start.p)])


def _about(data: Inputs, pretrained: bool) -> str:
    """What the test scores are of, and so what they do not say."""
    tested = len(set(data.store.index["patient"].to_numpy()[data.labelled["test"]]))
    counted = "this one test patient" if tested == 1 else f"these {tested} test patients"
    origin = "from this encoder" if pretrained else "from random weights"
    return (
        f"Of this one fine-tuning {origin}, on {counted}. Another seed, another pretraining "
        "or other patients give other numbers; how far from these, `-e analyse` says of several seeds."
    )


def segmenter(start: Start[Finetune], hops: Sequence[Hop], summary: dict[str, float]) -> str:
    """Card of a fine-tuned U-Net, with its test metrics."""
    lines = _head(f"U-Net on {start.data.store.dataset}: {lineage.text(hops)}", start, hops)
    scores = (f"- {word(name)}: {value:.4f}" for name, value in sorted(summary.items()))
    lines += ["## On test", "", _about(start.data, len(hops) > 1), "", *scores, ""]
    use = command(names.PREDICT, model=start.run.id, input="FILE_OR_FOLDER", output="FOLDER")
    return _whole(lines, start, hops, use)
