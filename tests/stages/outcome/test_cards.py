"""Cards of models: markdown that keeps its shape whatever a user, a file or a tag says."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sslseg.config import flags, names, params
from sslseg.models.importers.imports import Fetched
from sslseg.stages import import_encoder
from sslseg.stages.outcome import cards
from sslseg.tracking.lineage import Hop
from tests.fixtures.hostile import HOSTILE


def _rows(card: str) -> list[str]:
    """Lines of a card's table."""
    return [line for line in card.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_a_card_keeps_its_shape(word: str) -> None:
    law = {"mean": [0.5], "std": [0.5], "known_from": word}
    run = SimpleNamespace(id="0" * 32)

    def card(text: str) -> str:
        found = Fetched({}, "test_resnet", 1, law | {"known_from": text}, text, text, "natural", text, {})
        return import_encoder._card(found, run, "")

    spoiled, tame = card(word), card("tame")
    assert len(spoiled.splitlines()) == len(tame.splitlines())
    for left, right in zip(_rows(spoiled), _rows(tame), strict=True):
        assert left.replace("\\|", "").count("|") == right.count("|") == 3
    assert "<script" not in spoiled
    assert "<img" not in spoiled


@pytest.mark.parametrize("word", HOSTILE, ids=range(len(HOSTILE)))
def test_a_recipe_stays_in_its_fence_and_a_hop_on_its_line(word: str) -> None:
    p = flags.resolve(params.Finetune(encoder="x", architecture=word))
    lines = cards._recipe(p)
    fence = lines[2]
    inside = lines[3 : lines.index(fence, 3)]
    assert sum(line.lstrip("'").startswith("architecture=") for line in inside) == 1
    assert all(line.isprintable() and fence not in line for line in inside)
    assert lines[3 + len(inside) :] == [fence, ""]
    hop = Hop("0" * 32, names.IMPORT, word, word, "", word, None, "")
    (line,) = cards._hops([hop])[2:-1]
    assert len(line.splitlines()) == 1
    assert not {"<script", "<img"} & {line[i : i + 7] for i in range(len(line))}
