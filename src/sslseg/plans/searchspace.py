"""What a tuning may vary, in one place. A line is one knob and its range.

`-P space='lr=float:1e-4:1e-2:log;schedule=choice:cosine|constant;flip=fixed'` replaces, adds and takes out.
Ranges lie around the presets' values: [H] one order of magnitude each way for rates, the sensible whole
of it for shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sslseg.config import flags
from sslseg.config.names import FINETUNE, PRETRAIN, ParamError

KINDS = ("float", "int", "choice")
WANTED = "wanted name=float:low:high[:log], name=int:low:high[:log], name=choice:a|b or name=fixed"


@dataclass(frozen=True)
class Range:
    """The values a knob may take: from `low` to `high`, both included, or one of `choices` (texts)."""

    kind: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[str, ...] = ()

    def holds(self, value: Any) -> bool:
        """Whether a knob's value is one of these."""
        if self.kind == "choice":
            return flags.to_text(value) in self.choices
        return value is not None and self.low <= value <= self.high


VIEWS = {
    "crop_scale": Range("choice", choices=("0.08,1.0", "0.3,1.0", "0.6,1.0")),
    "jitter": Range("float", 0.0, 1.0),
    "brightness": Range("float", 0.0, 0.6),
    "contrast": Range("float", 0.0, 0.6),
}
SPACES: dict[str, dict[str, Range]] = {
    FINETUNE: {
        "lr": Range("float", 1e-4, 1e-2, log=True),
        "warmup": Range("float", 0.0, 0.3),
        "clip": Range("float", 0.5, 50.0, log=True),
        "schedule": Range("choice", choices=("warmup-cosine", "constant")),
        **VIEWS,
    },
    PRETRAIN: {
        "lr": Range("float", 1e-2, 1.0, log=True),
        "weight_decay": Range("float", 1e-7, 1e-3, log=True),
        "trust": Range("float", 1e-3, 1e-1, log=True),
        "warmup": Range("float", 0.0, 0.4),
        **VIEWS,
    },
}
# They say what is asked, what it may cost, or how it is measured: varied, trials could not be compared.
SETTLED = frozenset({
    "dataset", "data_root", "split", "seed", "budget", "budget_unit", "subset", "steps", "eval_every",
    "val_slices", "absent", "encoder", "encoder_epoch", "encoder_role", "allow_transductive", "preset",
    "augment", "semi", "freeze", "fraction", "save_epochs", "save_steps", "on_bad_file", "probe", "tuned",
})  # fmt: skip


def ranges(stage: str, cls: type, text: str = "") -> dict[str, Range]:
    """name -> Range for the knobs of `cls` (a method's own knobs included), with the changes of `text`.

    Raises:
        ParamError: not a range, not a knob of `cls`, a knob that is not to be searched, or values out of it.
    """
    found = dict(SPACES[stage])
    for name, value in _pairs(text):
        if value == "fixed":
            found.pop(name, None)
        else:
            found[name] = _range(name, value)
    for name, wanted in found.items():
        _check(name, wanted, cls)
    if not found:
        raise ParamError("space: nothing is left to be searched")
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in text.replace(";", "\n").splitlines() if part.strip()]
    if not all(equals for _, equals, _ in parts):
        raise ParamError(f"space: {WANTED}, divided by ';'; got {text!r}")
    return [(name.strip(), value.strip()) for name, _, value in parts]


def _range(name: str, text: str) -> Range:
    kind, _, rest = text.partition(":")
    if kind == "choice" and rest:
        return Range("choice", choices=tuple(choice.strip() for choice in rest.split("|")))
    low, _, rest = rest.partition(":")
    high, _, log = rest.partition(":")
    try:
        found = Range(kind, float(low), float(high), log == "log")
    except ValueError:
        found = None
    if kind not in ("float", "int") or log not in ("", "log") or found is None or not found.low < found.high:
        raise ParamError(f"space: {name}={text}: {WANTED}")
    if found.log and found.low <= 0:
        raise ParamError(f"space: {name}={text}: a logarithmic range starts above 0")
    return found


def _check(name: str, wanted: Range, cls: type) -> None:
    table = flags.knobs(cls)
    if name not in table or name in SETTLED or table[name][1].runtime:
        free = ", ".join(n for n, (_, meta, _) in table.items() if n not in SETTLED and not meta.runtime)
        raise ParamError(f"space: {name} is not to be searched; can be: {free}")
    if not wanted.choices and flags.strip_optional(table[name][2])[0] not in (int, float):
        raise ParamError(f"space: {name}: does not hold a number; choice:a|b lists its values")
    ends = [int(e) if wanted.kind == "int" else e for e in (wanted.low, wanted.high)]
    for text in wanted.choices or [flags.to_text(end) for end in ends]:
        flags.from_mapping(cls, {name: text})  # raises what a command line would


def suggest(trial: Any, wanted: Mapping[str, Range]) -> dict[str, str]:
    """name -> text of the values that an Optuna trial takes from the ranges."""
    return {name: flags.to_text(_suggest(trial, name, r)) for name, r in wanted.items()}


def _suggest(trial: Any, name: str, wanted: Range) -> object:
    if wanted.kind == "choice":
        return trial.suggest_categorical(name, wanted.choices)
    if wanted.kind == "int":
        return trial.suggest_int(name, int(wanted.low), int(wanted.high), log=wanted.log)
    return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)
