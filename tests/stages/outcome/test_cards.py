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


@pytest.mark.parametrize(
    ("spacing", "apart", "rows"),
    [
        (1.5, "no", ["| spacing | 1.5 mm |"]),
        (0.0, "unknown", ["| spacing | as in the files |"]),
        (0.0, "natural images", ["| it started from weights of other data | natural images |"]),
    ],
)
def test_the_card_of_an_encoder_says_what_it_was_made_from(spacing: float, apart: str, rows: list[str]):
    tags = {names.TAG_APART: apart, names.TAG_EXPOSURE: "declared: imagenet"}
    logged = SimpleNamespace(data=SimpleNamespace(tags=tags))
    store = SimpleNamespace(channels=1, dataset="acdc", digest="0" * 64, licence="CC", spacing=spacing)
    law = SimpleNamespace(kind="dataset", mean=(0.25,), std=(0.5,))
    data = SimpleNamespace(store=store, intensity=law, rows={"train": range(7)})
    run = SimpleNamespace(id="1" * 32, client=SimpleNamespace(get_run=lambda _: logged))
    p = flags.resolve(params.Pretrain(encoder="scratch", dataset="acdc", data_root="/d", preset="cpu"))
    start = SimpleNamespace(run=run, data=data, source=SimpleNamespace(architecture="resnet"), p=p)
    text = cards.encoder(start, [], {"spread": 0.123456, "rank": 7.0})
    lines = text.splitlines()
    assert all(row in lines for row in rows)
    assert ("weights of other data" in text) == (apart == "natural images")
    assert {"- spread: 0.1235", "- rank: 7", "| data | acdc, 7 train slices, digest `000000000000` |"} <= {
        *lines
    }
    assert f"sslseg finetune --encoder {run.id} --dataset acdc --data_root FOLDER --budget 30" in lines
    assert "of imported weights declared: imagenet" in text
    assert "## Vital signs" not in cards.encoder(start, [])
