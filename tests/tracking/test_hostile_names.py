"""Names, tags, origins and settings made to break what shows them: page, figures, tables. Cards: test_cards."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis.comparison import encoders
from analysis.page import make
from sslseg.config import names, params
from sslseg.tracking import store as stores
from sslseg.tracking.registry import register
from tests.fixtures.hostile import HOSTILE
from tests.fixtures.planted import Planted, plant
from tests.fixtures.planted_study import finetune

TAME = tuple(f"name {i}" for i in range(len(HOSTILE)))


class Elements(HTMLParser):
    """Elements of a page with the names of their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter = Counter()
        self.text = io.StringIO()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(name for name, _ in attrs)] += 1

    def handle_data(self, data: str) -> None:
        self.text.write(data)


def _study(words: Sequence[str]) -> list[Planted]:
    """A pipeline per word, its run, tags, settings and upstream run named by it; one law for all of them."""
    made = []
    for i, word in enumerate(words):
        lineage = f"byol@{word} > supervised@{words[0]}"
        donor = Planted(f"{word} donor", {
            names.TAG_STAGE: names.PRETRAIN, names.TAG_METHOD: "byol", names.TAG_DATASET: word,
            names.TAG_UPSTREAM_RUN: names.SCRATCH, names.TAG_LINEAGE: f"byol@{word}", "note": word,
        }, {"steps": "10", "architecture": word}, start=i)  # fmt: skip
        made.append(donor)
        for budget in (3, 30):
            for seed in (0, 1):
                run = finetune("scratch", budget, seed, 0.5 - budget / 100 + seed / 50)
                tags = {names.TAG_DATASET: words[0], names.TAG_LINEAGE: lineage, names.TAG_PIPELINE: word,
                        names.TAG_UPSTREAM_RUN: donor.run_id, names.TAG_UPSTREAM_MODEL: "m-x",
                        names.TAG_DATA_DIGEST: words[1]}  # fmt: skip
                settings = {"a knob of a method": words[2], "cache": words[3], "optimizer": words[4]}
                made.append(replace(run, name=f"{word} {budget} {seed}", tags=run.tags | tags,
                                    cfg=run.cfg | settings))  # fmt: skip
    return made


def _make(words: Sequence[str], uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    plant(uri, _study(words), int(stores.ensure_experiment(words[5], uri)))
    model = {names.MODEL_ARCHITECTURE: words[0], names.MODEL_ORIGIN: words[1], names.MODEL_EPOCH: words[2],
             names.MODEL_SHA: words[3], names.MODEL_STEP: words[4]}  # fmt: skip
    monkeypatch.setattr(encoders, "_tags", lambda *_: model)
    make.make(
        params.Analyse(only=("worth", "verdict", "advice", "claims", "scores", "encoders", "runs", "fig4")),
        folder,
        words[5],
        say=lambda _: None,
    )
    return (folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:Glyph .* missing", "ignore:constrained_layout not applied", "ignore:Tight"
)
def test_the_page_has_the_elements_that_it_has_with_tame_names(
    store: str, tmp_path: Path, monkeypatch, tmp_cache
) -> None:
    written = [
        _make(words, store, tmp_path / name, monkeypatch)
        for name, words in (("hostile", HOSTILE), ("tame", TAME))
    ]
    hostile, tame = map(Elements, written)
    assert hostile.found == tame.found
    assert not {tag for tag, _ in hostile.found} & {"iframe", "object", "embed", "form", "link"}
    scripts = [re.findall(r"<script.*?</script>", page, re.DOTALL) for page in written]
    assert len(scripts[0]) == 1  # the page's own
    assert scripts[0] == scripts[1]
    shown = " ".join(hostile.text.getvalue().split())
    for word in HOSTILE:
        assert " ".join(word.split()) in shown
    out = tmp_path / "hostile"
    for path in out.glob("*.json"):
        json.loads(path.read_text())
    table = pd.read_csv(out / "fig4.csv")
    assert set(table["arm"]) == {f"byol@{word}" for word in HOSTILE}
    with (out / "fig4.csv").open(newline="") as file:
        assert len({len(row) for row in csv.reader(file)}) == 1


def test_the_line_that_makes_the_page_again_is_one_word_an_option() -> None:
    for word in HOSTILE:
        words = shlex.split(make.command(params.Analyse(experiment=word)))
        assert words[:3] == ["python", "-m", "analysis"]
        assert words[words.index("--experiment") + 1] == word
        assert all(w.startswith("--") for w in words[3::2])


def test_a_registered_model_has_a_name_that_can_be_an_address() -> None:
    for name in ("encoder-resnet50.a1_in1k", "unet-tf_efficientnet_lite0", "Ada 2"):
        register.check_name(name)
    for name in (*HOSTILE, "it's", "a/b", "a@b", "a:b", ""):
        with pytest.raises(names.EncoderError, match="for a registered model, got"):
            register.check_name(name)
