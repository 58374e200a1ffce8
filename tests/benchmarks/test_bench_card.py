"""What a card is measured by, at small sizes on a CPU; and what is written where there is no card."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import __main__, compare, g1_card, table
from benchmarks.compare import Answer

HEADS = {"projector_hidden": 16, "projection_size": 8, "predictor_hidden": 16}


@pytest.mark.parametrize(
    ("made", "knobs"), [(g1_card.byol, HEADS), (g1_card.unet, {"decoder": (8, 8, 8, 8, 8)})]
)
def test_a_loop_and_its_first_batch(made, knobs):
    training, batch_at = made("test_resnet", 32, 2, "cpu", **knobs)
    inside, alone = g1_card.loop_of(training, batch_at, steps=2)
    before = {name: part.clone() for name, part in training.named}
    inside()
    assert training.done == 2
    alone()
    assert training.done == 4
    assert any(not torch.equal(part, before[name]) for name, part in training.named)


def test_the_peers_step():
    g1_card.often(g1_card.smps("test_resnet", 32, 2, "cpu"), "cpu", 2)()
    pytest.importorskip("lightly", reason="a peer of the extra: pip install -e '.[bench]'")
    g1_card.often(g1_card.lightlys("test_resnet", 32, 4, "cpu", (16, 16)), "cpu", 2)()


def test_without_a_card_every_row_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(compare, "keep", lambda row: pytest.fail("a row was kept"))
    assert all(__main__.measure(question) for question in g1_card.QUESTIONS)
    assert capsys.readouterr().out.count("not measured here: torch sees no CUDA device") == 5
    page, results = tmp_path / "gpu.md", tmp_path / "results.json"
    results.write_text("[]")
    page.write_text(f"before\n{table.BEGIN}\n{table.END}\nafter\n")
    table.write_card(g1_card.QUESTIONS, page, results)
    assert page.read_text().count("| not measured |") == 5
    row = compare.row(g1_card.QUESTIONS[0], Answer(1.3, (1.2, 1.4), 7, {}, {"card": "a card"}))
    results.write_text(json.dumps([row]))
    table.write_card(g1_card.QUESTIONS, page, results)
    assert "| **1.3** (1.2 to 1.4) | 1.25 | 1.5 | a card |" in page.read_text()
    assert page.read_text().count("| not measured |") == 4
    other = row | {"id": "P1"}
    results.write_text(json.dumps([row, other]))
    table.write(page, results)  # the other page's table has no such row
    assert "| P1 |" in page.read_text()
    assert "G1" not in page.read_text().partition(table.BEGIN)[2].partition(table.END)[0]
