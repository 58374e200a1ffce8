"""Names of runs that tell in their first characters what was run: `byol@target n30 s2 acdc`.

Lists and legends of the UI show some twenty characters of a name, so that pipelines are written shorter where they are
long. The whole of them is in the parameter `by.pipeline`.
"""

from collections.abc import Iterator

from sslseg.config.names import SCRATCH
from sslseg.config.params import Finetune
from sslseg.plans import pipelines
from sslseg.plans.pipelines import Hop

WIDTH = 20  # characters that a list shows
USUAL = 13  # of them a pipeline has: the same at every budget and seed
WORDS = {pipelines.SUPERVISED: "sup", pipelines.NATURAL: "nat", pipelines.TARGET: "tgt", "mean_teacher": "mt",
         "unimatch": "um"}  # fmt: skip
# letters that are left of a method's name, and of the data's
CUTS = ((40, 40), (4, 4), (3, 3), (4, 1), (3, 1), (2, 2), (2, 1))


def finetuning(p: Finetune, pipeline: str) -> str:
    """The name of a fine-tuning; `n30` are slices, `p5` patients."""
    budget = f"{'p' if p.budget_unit == 'patient' else 'n'}{p.budget}" if p.budget else "all"
    more = [] if p.encoder_epoch is None else [f"epoch={p.encoder_epoch}"]
    more += [] if p.split == "auto" else [f"split={p.split}"]
    return title(pipeline, budget, f"s{p.seed}", behind=" ".join([p.dataset, *more]))


def title(pipeline: str, *words: str, behind: str = "") -> str:
    """A pipeline, what belongs to the first characters, and what may come behind them.

    >>> title("supervised+byol@target", "n30", "s2", behind="acdc")
    'sup+byol@tgt n30 s2 acdc'
    """
    room = min(USUAL, WIDTH - len(" ".join(("", *words)))) if words else USUAL
    forms = list(_forms(pipeline))
    shown = next((form for form in forms if len(form) <= room), forms[-1])
    return " ".join(filter(None, (shown, *words, behind)))


def _forms(pipeline: str) -> Iterator[str]:
    """Ways to write it, each mostly shorter than the one before."""
    yield pipeline
    read = pipelines.split(pipeline)
    hops = read.hops
    for how, data in CUTS:
        parts = [SCRATCH[:how]] if read.variants and not hops else []
        for hop, before in zip(hops, (None, *hops), strict=False):
            method, on = _words(hop, how, data)
            same = before is not None and on and before.how == hop.how and not before.decoder
            parts.append(on if same else f"{method}@{on}" if on else method)
            parts += ["dec"] if hop.decoder else []
        parts += [WORDS.get(word, word)[:how] for word in read.variants]
        yield "+".join(parts) or pipeline


def _words(hop: Hop, how: int, data: int) -> tuple[str, str]:
    method, _, on = str(hop).removesuffix(f"+{pipelines.DECODER}").partition("@")
    return WORDS.get(method, method)[:how], WORDS.get(on, on)[:data]
