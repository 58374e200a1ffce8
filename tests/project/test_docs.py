"""docs/ against the code: every constant, shape, file and command that a page names."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sslseg.config import flags, mlproject, params, plugins
from tests.fixtures import source_texts

ROOT = Path(__file__).parents[2]
METHOD = (ROOT / "docs" / "explanation" / "method.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TABLES = {
    "Pretraining with BYOL": (plugins.load("methods", "byol").Params, ("paper", "paper-400", "cpu", "demo")),
    "Fine-tuning": (params.Finetune, ("paper-text", "paper-code", "cpu", "demo")),
}
FOLDERS = ("src", "tests", "docs", "analysis", "entrypoints", "benchmarks", "rules")


def section(title: str) -> str:
    """The text of method.md below a heading, to the next one."""
    return re.split(r"^#+ ", METHOD.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the tables in `text`, without header and rule."""
    found = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (raw.strip() for raw in text.splitlines())
        if line.startswith("| `") or re.match(r"\| \S", line)
    ]
    return [row for row in found if not set("".join(row)) <= set("-| ")]


def code(cell: str) -> str:
    (text,) = re.findall(r"`([^`]*)`", cell)
    return "" if text == "''" else text


@pytest.mark.parametrize("title", TABLES)
def test_the_table_says_what_the_presets_give(title: str):
    cls, presets = TABLES[title]
    header, *body = rows(section(title))
    assert tuple(map(code, header[4:])) == presets
    given = {code(row[0]): [code(cell) for cell in row[4:]] for row in body if row[0].startswith("`")}
    resolved = [flags.resolve(cls(preset=preset)) for preset in presets]
    wanted = {name: [flags.to_text(getattr(p, name)) for p in resolved] for name in given}
    assert given == wanted


@pytest.mark.parametrize("title", TABLES)
def test_no_constant_is_missing_from_the_table(title: str):
    """A knob with presets, or with a source in paper or original code, is a constant of the study."""
    cls, _ = TABLES[title]
    table = section(title)
    constants = [k for k, (_, meta, _) in flags.knobs(cls).items() if meta.presets or meta.source]
    missing = [name for name in constants if f"| `{name}` |" not in table]
    assert not missing, f"docs/explanation/method.md, {title}: a row each for {missing}"


def test_what_cannot_be_adjusted_is_as_the_table_says():
    checked = 0
    for *_, where, here in rows(section("Not adjustable"))[1:]:
        module, _, path = code(where).partition(":")
        value = importlib.import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
        assert code(here) == flags.to_text(value), where
        checked += 1
    assert checked > 10


def test_the_25_flaws_are_answered_once_each():
    answered = [row[0] for row in rows(section("Flaws of the original, and what is done here")) if row[0]]
    assert [a for a in answered if re.fullmatch(r"F\d+", a)] == [f"F{i}" for i in range(1, 26)]


def test_the_shapes_of_byol():
    """Run once, on tensors without storage where that is possible."""
    import torch

    from sslseg.models import encoder
    from sslseg.models.heads import stack

    p = flags.resolve(plugins.load("methods", "byol").Params(preset="paper"))
    net = encoder.skeleton(p.architecture, 1)
    draws = torch.Generator()
    projector = stack((encoder.feature_size(net), p.projector_hidden, p.projection_size), draws).to("meta")
    predictor = stack((p.projection_size, p.predictor_hidden, p.projection_size), draws).to("meta")
    view = torch.empty(p.batch_size, 1, p.image_size, p.image_size, device="meta")
    h = net(view)
    z = projector(h)
    found = {
        "view": view,
        "last feature map of the encoder": net.forward_features(view),
        "representation h (pooled)": h,
        "projection z": z,
        "prediction p": predictor(z),
    }
    text = section("BYOL, with its shapes (the paper's Fig. 2)")
    for name, tensor in found.items():
        assert f"| {name} | `{list(tensor.shape)}` |" in text
    for name, part in {"encoder": net, "projector": projector, "predictor": predictor}.items():
        count = sum(t.numel() for t in part.parameters())
        assert re.search(rf"^\| {name} \|.*\| {count:,} \|$", text, re.MULTILINE), f"{name}: {count:,}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_that_a_page_names_are_there(page: Path):
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [page.parent / link for link in links if "://" not in link]
    spans = re.findall(r"`([\w./-]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    local += [ROOT / s for s in spans if s.split("/")[0] in FOLDERS and "/" in s]
    gone = [str(path.relative_to(ROOT)) for path in local if not path.resolve().exists()]
    assert not gone


def test_the_sentences_of_the_troubleshooting_page_are_what_the_tool_says():
    """Each quoted beginning is in a text of the code, so that a search for it finds the page and the place."""
    text = (ROOT / "docs" / "reference" / "troubleshooting.md").read_text()
    quoted = re.findall(r'^\| "([^"]+)" \|', text, re.MULTILINE)
    files = [path for top in ("src", "analysis") for path in (ROOT / top).rglob("*.py")]
    source = "\n".join(text for path in files for text in source_texts.texts(path))
    assert len(quoted) == text.count('\n| "') > 30
    assert not [sentence for sentence in quoted if sentence not in source]


def _generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_fresh():
    for name, lines in _generate().PAGES.items():
        assert (ROOT / "docs" / name).read_text() == "\n".join(lines()).rstrip("\n") + "\n", "make mlproject"


def test_the_site_builds_and_lists_every_page(tmp_path: Path):
    """Strict: a broken link, or a page that no list names, fails."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    listed = (ROOT / "mkdocs.yml").read_text()
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert not [page for page in pages if page not in listed]
    html = {p: p.read_text() for p in (tmp_path / "site").rglob("*.html") if p.name != "404.html"}
    fetched = r'<(?:script[^>]+src|link[^>]+rel="stylesheet"[^>]+href)="https?://'
    assert not [page for page, text in html.items() if re.search(fetched, text)]
    links = {(page, m) for page, text in html.items() for m in re.findall(r'href="([^"#:?]+)[^":]*"', text)}
    assert not [(page.name, link) for page, link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_entry_points_and_knobs_that_a_page_names_exist(page: Path):
    """`-e name` and `-P name=` anywhere in a page, in a block or not."""
    text = page.read_text()
    known = {name: flags.knobs(cls) for name, _, cls in mlproject.entry_points()}
    entries = set(re.findall(r"-e ([a-z_]+)", text))
    assert entries <= set(known), entries - set(known)
    knobs = set(re.findall(r"-P ([a-z_]+)=", text))
    every = {name for table in known.values() for name in table}
    assert knobs <= every, knobs - every


def test_the_searches_of_the_ui_page_are_valid(store: str):
    """Understood by MLflow: a search that it cannot parse raises."""
    from sslseg.tracking import store as stores

    text = (ROOT / "docs" / "how-to" / "ui.md").read_text().partition("Searches")[2]
    filters = re.findall(r"^\| [^|]+ \| (?:``(.+?)``|`(.+?)`)", text, re.MULTILINE)
    assert len(filters) == 6
    for double, single in filters:
        assert stores.client(store).search_runs(["0"], double or single) == []


def test_links_of_the_ui_page_ask_for_the_right_mode():
    links = re.findall(
        r"http://127\.0\.0\.1:5000/#\S+?(?=`)", (ROOT / "docs" / "how-to" / "ui.md").read_text()
    )
    assert len(links) == 4
    assert all("workflowType=machine_learning" in link for link in links)
