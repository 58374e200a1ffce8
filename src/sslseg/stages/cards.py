"""Floor 2: the card of an encoder or a model: markdown that the UI shows beside it."""

from __future__ import annotations

from collections.abc import Sequence

from sslseg import flags, lineage, names
from sslseg.lineage import Hop
from sslseg.params import Machine
from sslseg.runs import Run
from sslseg.stages.inputs import Inputs


def _head(title: str, run: Run, data: Inputs, architecture: str, hops: Sequence[Hop]) -> list[str]:
    store = data.store
    rows = [
        ("lineage", lineage.text(hops)),
        ("run", f"`{run.id}`"),
        ("architecture", f"{architecture}, {store.channels} input channel(s)"),
        ("data", f"{store.dataset}, {len(data.rows['train'])} train slices, digest `{store.digest[:12]}`"),
        ("data licence", store.licence),
        ("spacing", f"{store.spacing} mm" if store.spacing else "as in the files"),
        (
            "input law",
            f"{data.intensity.kind}, mean {_numbers(data.intensity.mean)}, sd {_numbers(data.intensity.std)}",
        ),
    ]
    return [f"# {title}", "", "| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows), ""]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:.4g}" for v in values)


def _recipe(p: Machine) -> list[str]:
    texts = flags.texts(p, identity_only=True)
    return [
        "## Recipe",
        "",
        "```",
        *(f"{name}={text}" for name, text in texts.items() if text != ""),
        "```",
        "",
    ]


def _hops(hops: Sequence[Hop]) -> list[str]:
    lines = [
        f"{i}. {hop.name} (run `{hop.run_id}`{', ' + hop.origin if hop.origin else ''})"
        for i, hop in enumerate(hops, 1)
    ]
    return ["## Where it comes from", "", *(lines or ["random weights"]), ""]


def encoder(
    p: Machine,
    run: Run,
    data: Inputs,
    architecture: str,
    hops: Sequence[Hop],
    signs: dict[str, float] | None = None,
) -> str:
    """Card of an encoder.

    Args:
        signs: vital signs of a self-supervised encoder; None = it comes out of a fine-tuning.
    """
    lines = _head(f"Encoder: {lineage.text(hops)}", run, data, architecture, hops)
    if signs:
        lines += ["## Vital signs", "", *(f"- {name}: {value:.4g}" for name, value in signs.items()), ""]
    use = f"mlflow run . -e finetune --env-manager local -P encoder={run.id} -P dataset={data.store.dataset} -P budget=30"
    lines += ["## Use", "", "```", use, "```", "", *_hops(hops), *_recipe(p)]
    return "\n".join(lines)


def segmenter(
    p: Machine, run: Run, data: Inputs, architecture: str, hops: Sequence[Hop], summary: dict[str, float]
) -> str:
    """Card of a fine-tuned U-Net, with its test metrics."""
    lines = _head(f"U-Net on {data.store.dataset}: {lineage.text(hops)}", run, data, architecture, hops)
    lines += ["## On test", "", *(f"- {name}: {value:.4f}" for name, value in sorted(summary.items())), ""]
    use = f"mlflow run . -e {names.PREDICT} --env-manager local -P model={run.id} -P input=<file or folder> -P output=<folder>"
    return "\n".join([*lines, "## Use", "", "```", use, "```", "", *_hops(hops), *_recipe(p)])
