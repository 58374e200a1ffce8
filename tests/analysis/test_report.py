"""The page and its parts, from a store to files: self-contained, escaped, selectable, logged to a run."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from math import inf, log
from pathlib import Path

import jinja2
import pytest
from mlflow import MlflowClient

from analysis import __main__, claims
from analysis.comparison import cells, decisions, measures
from analysis.page import make as maker
from analysis.page import matrices, report
from analysis.statistics.records import Estimate, Refusal
from sslseg.config import caches, names, params
from sslseg.tracking import session
from sslseg.tracking import store as stores
from sslseg.tracking.history import frames
from tests.fixtures.planted import plant
from tests.fixtures.planted_study import curves_of, decided, finetune, make, runs_of

TWO = ("scratch", "byol@natural+byol@target")
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def filled(store: str) -> str:
    plant(store, make(TWO, (3, 30, 100, 300), 4))
    return store


def test_everything_comes_from_the_store_alone(filled: str, tmp_path: Path, capsys) -> None:
    """A second process makes the same bytes, and loads no torch for them."""
    assert __main__.main(["--out", str(tmp_path)]) == 0
    assert "fig4: " in capsys.readouterr().out
    made = {p.name for p in tmp_path.iterdir()}
    assert {"report.html", "decisions.json", "fig1.pdf", "fig3a.csv", "fig3b.json", "fig4.png"} <= made
    page = (tmp_path / "report.html").read_text()
    outside = re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*|@import|url\(""", page)
    assert outside == []
    order = [
        page.index(f'id="{part}"')
        for part in ("fig4", "fig1", "verdict", "worth", "advice", "scores", "claims", "encoders")
    ]
    assert order == sorted(order)
    found = json.loads((tmp_path / "decisions.json").read_text())
    assert html.escape(found["headline"]) in page
    assert len(found["claims"]) == len(claims.CLAIMS)
    again = tmp_path / "again"
    code = (
        "import sys; from analysis.__main__ import main; "
        f"code = main(['--out', {str(again)!r}]); print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.splitlines()[-1:] == ["0 False"], done.stderr
    assert all((again / name).read_bytes() == (tmp_path / name).read_bytes() for name in made)


def test_a_part_alone(filled: str, tmp_path: Path) -> None:
    assert __main__.main(["--out", str(tmp_path), "--only", "fig4,worth"]) == 0
    assert {p.stem for p in tmp_path.iterdir()} == {"fig4", "report", "decisions", caches.MADE_HERE}
    assert set(json.loads((tmp_path / "decisions.json").read_text())) == {
        "headline",
        "runs",
        "worth",
        "encoder_worth",
    }


@pytest.mark.parametrize(
    ("rows", "columns", "kind"), [(12, 10, "matrix"), (13, 10, "matrix long"), (13, 11, "matrix long wide")]
)
def test_a_large_matrix_is_printed_over_pages_and_by_its_signs(rows: int, columns: int, kind: str) -> None:
    """The paper's style hides `size`; a text that begins with no sign stays whole."""
    loader = jinja2.FileSystemLoader(Path(report.__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"symbol": matrices.SYMBOL, "colours": {}}
    cells = (
        matrices.Cell("worse", "▼ -0.012", "why"),
        *[matrices.Cell("none", "not reached", "")] * (columns - 1),
    )
    table = matrices.Matrix("t", "c", ("a",) * columns, (("b", cells),) * rows)
    made = environment.from_string("{% from 'tables.html.j2' import matrix with context %}{{ matrix(m) }}")
    drawn = made.render(m=table)
    assert f'<div class="{kind}">' in drawn
    assert '>▼<span class="size"> -0.012</span><' in drawn
    assert drawn.count(">not reached<") == rows * (columns - 1)


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--only", "fig9"], "only: must be of worth", 2),
        (["--ony", "fig4"], "did you mean", 2),
        (["--experiment", "none such"], "not in", 1),
        (["--dataset", "demo"], "there is acdc", 1),
    ],
)
def test_errors_are_one_line(filled: str, capsys, arguments: list[str], words: str, code: int) -> None:
    assert __main__.main(arguments) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_the_stage_logs_the_page_where_the_ui_shows_it(filled: str) -> None:
    with session.open_run(names.ANALYSE) as run:
        from sslseg.stages import analyse

        analyse.run(params.Analyse(only=("fig4", "verdict")), run)
    api = MlflowClient(filled)
    assert "report.html" in {f.path for f in api.list_artifacts(run.id)}
    logged = {f.path for f in api.list_artifacts(run.id, "analysis")}
    assert logged == {
        f"analysis/{n}" for n in ("fig4.pdf", "fig4.png", "fig4.csv", "fig4.json", "decisions.json")
    }
    assert api.get_run(run.id).info.status == "FINISHED"


def test_a_sweep_that_is_still_running_can_be_analysed(filled: str, tmp_path: Path) -> None:
    with session.open_run(names.SWEEP) as run:
        ids = frames.runs(uri=filled)
        tuned = ids[(ids["stage"] == names.FINETUNE) & (ids["budget"] == 30)]["run_id"]
        table = [{"cell": f"c{i}", "run_id": r, "pipeline": "", "error": ""} for i, r in enumerate(tuned)]
        table.append(
            {"cell": "scratch/n=30/seed=9", "run_id": "", "pipeline": "scratch", "error": "out of memory"}
        )
        run.text(json.dumps(table), names.CELLS)
        maker.make(params.Analyse(sweep=run.id, only=("fig3b",)), tmp_path, None, filled, lambda line: None)
    facts = json.loads((tmp_path / "fig3b.json").read_text())
    assert facts["n"] == 8
    assert facts["missing"] == ["scratch/n=30/seed=9: out of memory"]


def test_text_from_the_store_is_escaped(tmp_path: Path) -> None:
    odd = finetune("scratch", 3, 0, 0.5)
    lineage = f"byol-{EVIL} > supervised@acdc"
    runs = [replace(odd, tags={**odd.tags, names.TAG_LINEAGE: lineage, names.TAG_PIPELINE: f"byol-{EVIL}"})]
    study = cells.study(runs_of(runs), failed=[{"cell": EVIL, "error": EVIL}], query={"sweep": EVIL})
    scores = measures.measure(study, curves_of(runs))
    found = decisions.decide(study, scores, decisions.curves(study))
    page = report.render(report.Page(study, found, (), (), {}, maker.parts(()), f"python {EVIL}", ""))
    assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_links_lead_to_every_run_and_every_part() -> None:
    runs = make(TWO, (3, 30, 100, 300), 4)
    study = cells.study(runs_of(runs))
    scores = measures.measure(study, curves_of(runs))
    curves = decisions.curves(study)
    found = decisions.decide(study, scores, curves)
    judged = claims.judge(claims.context(study, scores, curves, {}))
    parts = [*maker.DECISIONS, maker.SCORES, *maker.TABLES]
    page = report.render(report.Page(study, found, judged, (), {}, parts, "python", "http://host:5000"))
    links = set(re.findall(r'href="([^"]*)"', page))
    inner = {link for link in links if link.startswith("#")}
    assert inner == {f"#{part}" for part in parts}
    assert all(f'id="{link[1:]}"' in page for link in inner)
    place = "http://host:5000/#/experiments/0/runs/{}?workflowType=machine_learning"
    assert links - inner == {place.format(run) for run in study.runs["run_id"]}
    for run in study.runs["run_id"]:  # in the table of runs, and wherever a claim names it
        assert page.count(place.format(run)) == 1 + sum(run in j.run_ids for j in judged)
    assert any(j.run_ids for j in judged)


def test_a_page_of_one_seed_says_what_it_cannot(store: str) -> None:
    runs = make(("scratch", "supervised"), (3, 30), 1)
    study = cells.study(runs_of(runs))
    scores = measures.measure(study, curves_of(runs))
    found = decisions.decide(study, scores, decisions.curves(study))
    page = report.render(report.Page(study, found, (), (), {}, maker.parts(()), "python", ""))
    assert "Nothing can be said yet." in page
    assert "1 pair of equal seed" in page
    assert f"{scores.of('test_loss', ['scratch'], 3)[0].value:.3f} (1)" in page


def test_a_matrix_says_of_both_sides_what_one_verdict_says() -> None:
    runs = [finetune(p, 30, s, loss + s / 200) for p, loss in (("scratch", 0.5), ("supervised", 0.4), ("byol@target", 0.6))
            for s in range(8)]  # fmt: skip
    study, found = decided(runs, 30)
    (primary,) = (table for table in found.verdicts if table.primary)
    matrix = matrices.of_verdicts(study, primary, {})
    shown = {
        (row, column): cell
        for row, made in matrix.rows
        for column, cell in zip(matrix.columns, made, strict=True)
    }
    assert {pair: (cell.call, cell.text) for pair, cell in shown.items() if cell.text} == {
        ("scratch", "supervised"): ("worse", "▼ -0.100"),
        ("supervised", "scratch"): ("better", "▲ +0.100"),
        ("byol@acdc", "scratch"): ("worse", "▼ -0.100"),
        ("byol@acdc", "supervised"): ("worse", "▼ -0.200"),
    }
    assert "8 seeds" in shown["supervised", "scratch"].tip


def test_a_ratio_of_steps_without_limits_is_told_in_words() -> None:
    """Runs that never arrived leave ends open: no page says `×∞ [0.00, ∞]`."""
    runs = [finetune(p, 30, s, 0.5 - s / 200) for p in ("scratch", "supervised") for s in range(3)]
    verdict = decided(runs, 30)[1].verdicts[0].rows[0]

    def told(value: float, low: float, high: float, key: str = measures.STEPS) -> str:
        metric = replace(measures.PRIMARY, key=key)
        return matrices.effect(replace(verdict, effect=Estimate(value, low, high)), metric, True)

    assert told(log(2), 0.0, log(4)) == "×2.00 [1.00, 4.00]"
    assert told(log(2), -inf, log(4)) == "×2.00 [at most 4.00]"
    assert told(log(2), 0.0, inf) == "×2.00 [at least 1.00]"
    assert told(log(200), log(150), inf) == "×200.00 [at least 150.00]"
    assert told(log(2), 0.0, 1e4) == "×2.00 [at least 1.00]"
    assert told(log(2), log(0.001), 1e4) == "×2.00 [no limits]"
    assert told(log(2), -inf, inf) == "×2.00 [no limits]"
    assert told(inf, -inf, inf) == "not known"
    assert told(0.1, -0.2, 0.3, measures.PRIMARY.key) == "+0.100 [-0.200, +0.300]"


def test_the_same_refusal_is_said_once() -> None:
    few = [
        Refusal.insufficient("has 3 sizes", name)
        for name in ("scratch", "scratch", "a@b+c@d", "no name known")
    ]
    assert few[0].reason == "insufficient evidence: scratch has 3 sizes"
    assert report.refused([*few, Refusal("other"), Refusal("other"), 5]) == [
        "scratch has 3 sizes (the same holds for 2 more)",
        "other",
    ]


@pytest.mark.parametrize(("seeds", "sizes"), [(2, (3, 30)), (3, (3, 30)), (2, (3,))])
def test_the_page_says_what_lacks_without_the_word_for_it(seeds: int, sizes: tuple, tmp_path: Path) -> None:
    """Where nothing can be said yet, each sentence is of runs that lack; "insufficient evidence" is for tables."""
    uri = stores.ensure_store(f"sqlite:///{tmp_path / 'own.db'}")
    plant(uri, make(TWO, sizes, seeds))
    maker.make(params.Analyse(only=("worth", "verdict", "advice")), tmp_path, None, uri, lambda line: None)
    page = (tmp_path / "report.html").read_text()
    assert "wanted" in page
    assert "insufficient evidence" not in page
