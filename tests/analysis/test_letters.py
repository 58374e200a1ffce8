"""Names in any writing: letters that the usual font lacks come from another one, or are written as codes, without a warning."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.text import Text

from analysis.comparison import cells
from analysis.comparison.cells import Study
from analysis.figures import fig1_pipelines, fig3a_convergence, fig3b_area, fig4_scaling, style
from analysis.page import make as maker
from sslseg.config import params
from tests.fixtures import planted_study
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import curves_of, encoders, finetune, runs_of

FIGURES = (fig1_pipelines, fig3a_convergence, fig3b_area, fig4_scaling)
HEART = "byol@心"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[Planted]:
    monkeypatch.setitem(planted_study.LABELS, HEART, (HEART,))
    monkeypatch.setitem(planted_study.SPEEDS, HEART, 80.0)
    tuned = [
        finetune(p, n, s, 0.5 - n / 900 + s / 100)
        for p in ("scratch", HEART)
        for n in (3, 30)
        for s in range(3)
    ]
    return [*encoders(HEART), *tuned]


@pytest.fixture(autouse=True)
def no_other_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of the installed fonts those that come with matplotlib alone."""
    fonts = font_manager.fontManager
    own = [f for f in fonts.ttflist if Path(f.fname).is_relative_to(mpl.get_data_path())]
    monkeypatch.setattr(fonts, "ttflist", own)
    style._fonts.cache_clear()
    yield
    style._fonts.cache_clear()


def one_letter(letter: str, path: Path) -> str:
    """Install a font of one letter, which has the shape of an X; returns its name."""
    font = TTFont(font_manager.findfont("DejaVu Sans"))
    glyph = font.getBestCmap()[ord("X")]
    for table in font["cmap"].tables:
        table.cmap = {ord(letter): glyph}
    for record in font["name"].names:
        record.string = "Has one letter"
    font.save(path)
    font_manager.fontManager.addfont(path)
    style._fonts.cache_clear()
    return "Has one letter"


def written(study: Study, planted: list[Planted]) -> dict[str, str]:
    """Figure -> all its texts; each is saved as a PDF, where warnings are errors."""
    texts = {}
    for module in FIGURES:
        content = module.data(study, curves_of(planted))
        figure = module.draw(content)
        with style.look():
            figure.savefig(io.BytesIO(), format="pdf")
            figure.savefig(io.BytesIO(), format="png")
        texts[content.name] = " ".join(text.get_text() for text in figure.findobj(Text))
    return texts


def test_without_a_font_they_are_codes_and_one_sentence_says_so(
    planted: list[Planted], tmp_path: Path
) -> None:
    study, said = cells.study(runs_of(planted)), list[str]()
    for text in written(study, planted).values():
        assert "byol@\\u5fc3" in text
        assert "心" not in text
    maker.write(params.Analyse(only=("fig4",)), tmp_path, study, curves_of(planted), say=said.append)
    (sentence,) = [line for line in said if "font" in line]
    assert sentence.startswith("figures write 心 as codes, because no installed font has them: ")
    assert HEART in (tmp_path / "fig4.csv").read_text()


def test_with_a_font_that_has_them_they_are_drawn(planted: list[Planted], tmp_path: Path) -> None:
    name = one_letter("心", tmp_path / "one.ttf")
    with style.look("Herz, ❤, 心"):
        assert mpl.rcParams["font.family"][-1] == name
    assert style.lost("心臟") == {"臟"}
    for text in written(cells.study(runs_of(planted)), planted).values():
        assert HEART in text
        assert "\\u" not in text


def test_latin_letters_need_no_other_font() -> None:
    with style.look():
        usual = mpl.rcParams["font.family"]
    with style.look("Größe & <b> µ−…"):
        assert mpl.rcParams["font.family"] == usual
