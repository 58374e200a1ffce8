"""The first line of a stage: what runs, on which data, from which weights, how long it will take."""

import pandas as pd

from sslseg.config import names
from sslseg.config.params import Finetune, Machine, Pretrain, Sweep, Tune
from sslseg.config.texts import to_text
from sslseg.stages.forecast.estimates import Cost, Kind, costs, variants
from sslseg.tracking.history import frames

# the others are short, or say themselves what they do
TOLD = (names.FINETUNE, names.PRETRAIN, names.SWEEP, names.TUNE)


def line(stage: str, method: str | None, p: Machine, device: str, uri: str | None) -> str:
    """One short sentence; the minutes are those of finished runs of this kind on this kind of device.

    >>> line("finetune", None, Finetune(dataset="acdc", budget=30, …), "cpu", uri)
    'finetune acdc: from scratch, 30 slices, 200 steps of 8, on cpu, about 2 minutes by 12 earlier runs'
    """
    head = " ".join(filter(None, [stage, method, getattr(p, "dataset", "") or getattr(p, "study", "")]))
    words = [*_words(p), f"on {device}"]
    if isinstance(p, Finetune | Pretrain):
        words.append(_minutes(stage, method or "", p, device, frames.runs(uri=uri)))
    return f"{head}: {', '.join(words)}"


def _words(p: Machine) -> list[str]:
    words = [f"from {encoder}"] if (encoder := to_text(getattr(p, "encoder", ""))) else []
    if isinstance(p, Sweep):
        counts = {"pipeline": p.pipelines, "size": p.budgets, "seed": p.seeds}
        words += [f"{len(of)} {name}{'' if len(of) == 1 else 's'}" for name, of in counts.items()]
        words[-1] += f" ({p.seeds[0]}; three are seeds=0,1,2)" if len(p.seeds) == 1 and p.seeds[0] else ""
    if isinstance(p, Tune):
        words.append(f"{p.trials} trials")
    if isinstance(p, Finetune):
        words.append(f"{p.budget} {p.budget_unit}s" if p.budget else f"all {p.budget_unit}s")
    if isinstance(p, Finetune | Pretrain):
        words.append(f"{p.steps:,} steps of {p.batch_size}")
    return words


def _minutes(stage: str, method: str, p: Finetune | Pretrain, device: str, runs: pd.DataFrame) -> str:
    if runs.empty:
        return "no earlier run tells how long"
    kind = Kind(stage, method, p.preset, p.architecture, variants(p))
    cost: Cost = costs({"": kind}, {"": p}, runs, device, lambda run_id: None)[""]
    if cost.seconds is None:
        return "no earlier run tells how long"
    minutes = round(cost.seconds / 60)
    about = f"about {minutes} minute{'' if minutes == 1 else 's'}"
    told = about if cost.seconds >= 60 else "less than a minute"
    return f"{told} by {cost.runs} earlier run{'' if cost.runs == 1 else 's'}"
