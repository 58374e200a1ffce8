"""Runs on the folds of one cross-validation over patients: one study, in which a seed has a run a fold."""

from __future__ import annotations

import re

import pandas as pd

from sslseg.config.names import CFG
from sslseg.config.params import FOLD

SPLIT = f"{CFG}split"


def of(runs: pd.DataFrame) -> list[str]:
    """The fold of each run, as it was asked for (fold:2/5); '' of every other division."""
    splits = runs[SPLIT] if SPLIT in runs else [""] * len(runs)
    return [text if isinstance(text, str) and re.fullmatch(FOLD, text) else "" for text in splits]


def division(split: object) -> object:
    """What runs of one division have in common: all folds of a cross-validation are one."""
    found = re.fullmatch(FOLD, split) if isinstance(split, str) else None
    return f"folds of {found[2]}" if found else split


def siblings(fold: str) -> tuple[str, ...]:
    """All folds of the cross-validation that one is of; of no fold, itself."""
    found = re.fullmatch(FOLD, fold)
    return tuple(f"fold:{k}/{found[2]}" for k in range(1, int(found[2]) + 1)) if found else (fold,)
