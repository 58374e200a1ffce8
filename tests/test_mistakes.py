"""Mistakes at every entry point: what was wanted and what came, in one line, with exit code 2 and nothing left behind."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from sslseg import launch
from sslseg.config import flags, mlproject
from sslseg.config.names import EXIT_USAGE
from sslseg.config.texts import strip_optional

NOT = {int: "ten", float: "1e", bool: "maybe"}
WANTED = {int: "a whole number", float: "a finite number", bool: "true or false"}


def _mistakes(cls: type) -> Iterator[tuple[str, str, str]]:
    """knob, text, what is said of it: one of each kind of mistake that each type of knob allows."""
    seen = set()
    for name, (_, meta, hint) in flags.knobs(cls).items():
        kind = strip_optional(hint)[0]
        kind = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
        found = []
        if kind in NOT:
            found.append(("type", kind, NOT[kind], f"{name}: wanted {WANTED[kind]}, got '{NOT[kind]}'"))
        if meta.low is not None:
            low = str(kind(meta.low - 1))
            found.append(("low", kind, low, f"{name}: must be at least {meta.low:g}; not {low}"))
        if meta.high is not None:
            high = str(kind(meta.high + 1))
            found.append(("high", kind, high, f"{name}: must be at most {meta.high:g}; not {high}"))
        if meta.choices:
            found.append(
                (
                    "choice",
                    kind,
                    "nonsens",
                    f"{name}: must be one of {', '.join(meta.choices)}; not 'nonsens'",
                )
            )
        for what, of, text, said in found:
            if (what, of) not in seen:
                seen.add((what, of))
                yield name, text, said
    for name in list(flags.knobs(cls))[:1]:
        yield f"{name}e", "1", f"unknown parameter '{name}e'; did you mean '{name}'?"


ENTRIES = [
    pytest.param(script.partition(".")[0], script.partition(" ")[2] or None, cls, id=name)
    for name, script, cls in mlproject.entry_points() if flags.knobs(cls)
]  # fmt: skip


@pytest.mark.parametrize(("stage", "method", "cls"), ENTRIES)
def test_every_kind_of_mistake_is_told(
    stage: str, method: str | None, cls: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "execute", lambda *_, **__: pytest.fail("a mistake was let through"))
    required = [f"--{name}=x" for name, (f, *_) in flags.knobs(cls).items() if f.default is flags.MISSING]
    tried = list(_mistakes(cls))
    assert len(tried) >= 3
    for name, text, said in tried:
        argv = [*(word for word in required if not word.startswith(f"--{name}=")), f"--{name}={text}"]
        assert launch._guarded(stage, argv, method, None) == EXIT_USAGE
        out, error = capsys.readouterr()
        assert error.startswith(f"sslseg {stage}: {said}"), (name, error)
        assert (out, error.count("\n")) == ("", 1)
    assert not list(tmp_path.iterdir())
