"""An identity changes with what determines a result, and with nothing else."""

from __future__ import annotations

import ast
import dataclasses
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslseg.config import flags, plugins
from sslseg.config.params import Finetune, Pretrain
from sslseg.tracking import identity

BASE = flags.resolve(Finetune(encoder="a" * 32, preset="cpu"))
PARTS = {"upstream_sha": "u", "data": "d", "subset": "s", "code": "c"}


def _of(**changes) -> str:
    parts = PARTS | {k: v for k, v in changes.items() if k in PARTS}
    return identity.of(
        dataclasses.replace(BASE, **{k: v for k, v in changes.items() if k not in PARTS}), **parts
    )


@pytest.mark.parametrize(
    "same",
    [{"encoder": "models:/x/3"}, {"encoder_epoch": 3}, {"data_root": "/elsewhere"}, {"threads": 7},
     {"cache": "/tmp/x"}, {"device": "cpu"}, {"checkpoint_every": 3}, {"verify": True}],
)  # fmt: skip
def test_where_and_how_fast_do_not_matter(same: dict):
    assert _of(**same) == _of()


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"steps": 7}, {"budget": 3}, {"lr": 0.5}, {"dataset": "acdc"}, {"subset": "x"},
     {"upstream_sha": "v"}, {"data": "e"}, {"code": "f"}, {"encoder": "scratch"}],
)  # fmt: skip
def test_what_determines_the_result_matters(other: dict):
    assert _of(**other) != _of()


def test_stages_with_equal_parameters_differ():
    p = flags.resolve(Pretrain(encoder="scratch", preset="cpu"))

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Params(Pretrain):
        """As a method makes it."""

    q = Params(**{f.name: getattr(p, f.name) for f in dataclasses.fields(p)})
    assert identity.of(p, **PARTS) != identity.of(q, **PARTS)


@given(st.floats(1e-9, 1.0), st.floats(1e-9, 1.0))
def test_identities_are_equal_exactly_where_values_are(one: float, other: float):
    assert (_of(lr=one) == _of(lr=other)) == (one == other)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `sslseg` of its own, so that its files may be changed."""
    files = {
        "__init__.py": "from sslseg import lazy\n",
        "lazy.py": "",
        "stages/__init__.py": "",
        "stages/one.py": "import os\nfrom sslseg.data import direct\ndef f():\n  from ..inner import late\n",
        "data/__init__.py": "",
        "data/direct.py": "import sslseg.far.away\n",
        "inner.py": "late = 1\n",
        "far/__init__.py": "",
        "far/away.py": "from sslseg.stages import one\n",
        "other.py": "",
    }
    root = tmp_path / "sslseg"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(plugins, "PACKAGE", root)
    return root


def _code(*extra: Path) -> str:
    identity.code_digest.cache_clear()
    return identity.code_digest("sslseg.stages.one", *extra)


@pytest.mark.parametrize(
    "file", ["stages/one.py", "data/direct.py", "data/__init__.py", "inner.py", "far/away.py"]
)
def test_code_that_is_imported_matters(package: Path, file: str):
    before = _code()
    (package / file).write_text((package / file).read_text() + "\nchanged = 1\n")
    assert _code() != before


@pytest.mark.parametrize("file", ["other.py", "lazy.py", "__init__.py"])
def test_code_that_is_not_imported_does_not(package: Path, file: str):
    before = _code()
    (package / file).write_text("changed = 1\n")
    assert _code() == before


WORDS = [
    ("STEPS = 3", "# said better\n\nSTEPS = (\n    3  # steps\n)"),
    ('"""Says."""\nSTEPS = 3', '"""Says it better."""\nSTEPS = 3'),
    ('def f(x):\n    """Says."""\n    return x', 'def f(x):\n    """Says it better."""\n    return x'),
    ("def f(x, *more):\n    y = x", "def f(x: int, *more: int) -> None:\n    y = x"),
    ("class A:\n    x: int = 3", "class A:\n    x: float = 3"),
    ("def f():\n    raise ValueError('bad')", "def f():\n    raise ValueError(f'worse: {f}')"),
    ("def f():\n    print('on')", "def f():\n    print('going on')\n    print('and on')"),
    (
        "class P:\n    lr: float = knob(1.0, 'rate')",
        "class P:\n    lr: float = knob(1.0, 'learning rate', low=0)",
    ),
    ("if TYPE_CHECKING:\n    import a", "if TYPE_CHECKING:\n    import a, b"),
    ("WORD = 'as'", 'WORD = "as"'),
]
DEEDS = [
    ("STEPS = 3", "STEPS = 4"),
    ("STEPS = 3", "STEPS = 3.0"),
    ("STEPS = 1", "STEPS = True"),
    ("def f(x):\n    return x + 1", "def f(x):\n    return x - 1"),
    ("def f(x=1):\n    return x", "def f(x=2):\n    return x"),
    ("def f(a, b):\n    return a", "def f(b, a):\n    return a"),
    ("def f(*, a=1, b):\n    return a", "def f(*, a, b=1):\n    return a"),
    ("class A:\n    x: int = 3", "class A:\n    x: int = 4"),
    ("class A:\n    x: int\n    y: int", "class A:\n    y: int\n    x: int"),
    ("def f():\n    raise ValueError('bad')", "def f():\n    raise TypeError('bad')"),
    (
        "def f(x):\n    if x < 1:\n        raise ValueError('bad')",
        "def f(x):\n    if x < 2:\n        raise ValueError('bad')",
    ),
    ("@cached\ndef f():\n    pass", "def f():\n    pass"),
    ("from a import b", "from a import c as b"),
    ("async def f():\n    pass", "def f():\n    pass"),
    ("WORD = 'as'", "WORD = b'as'"),
    ("def f(d):\n    return {**d, 'a': 1}", "def f(d):\n    return {'a': 1, **d}"),
]


@pytest.mark.parametrize(("before", "after"), WORDS)
def test_words_do_not_matter(package: Path, before: str, after: str):
    (package / "inner.py").write_text(before)
    digest = _code()
    (package / "inner.py").write_text(after)
    assert _code() == digest


@pytest.mark.parametrize(("before", "after"), DEEDS)
def test_deeds_matter(package: Path, before: str, after: str):
    (package / "inner.py").write_text(before)
    digest = _code()
    (package / "inner.py").write_text(after)
    assert _code() != digest


def test_every_version_of_python_reads_the_same():
    """Written out: what `ast.dump` gives differs between 3.12 and 3.13."""
    source = 'async def f(x: int, *, y=None) -> int:\n    """Says."""\n    return f"{x!r} {y:>{x}}" + u"a"'
    name = ["Name", ["id", "'x'"]]
    wanted = ["Module", ["body", [["AsyncFunctionDef", ["name", "'f'"],
        ["args", ["arguments", ["args", [["arg", ["arg", "'x'"]]]], ["kwonlyargs", [["arg", ["arg", "'y'"]]]],
            ["kw_defaults", [["Constant"]]]]],
        ["body", [["Return", ["value", ["BinOp", ["left", ["JoinedStr", ["values", [
            ["FormattedValue", ["value", name], ["conversion", "114"]],
            ["Constant", ["value", "' '"]],
            ["FormattedValue", ["value", ["Name", ["id", "'y'"]]], ["conversion", "-1"], ["format_spec", [
                "JoinedStr", ["values", [["Constant", ["value", "'>'"]],
                    ["FormattedValue", ["value", name], ["conversion", "-1"]]]]]]],
        ]]]], ["op", ["Add"]], ["right", ["Constant", ["value", "'a'"]]]]]]]],
    ]]]]  # fmt: skip
    assert identity._numeric(ast.parse(source)) == wanted


PLUG_INS = {
    "prepare": ["datasets/hearts/acdc.py"],
    "import_encoder": [],
    "pretrain": ["datasets/hearts/acdc.py", "methods/agreement/byol.py"],
    "finetune": ["datasets/hearts/acdc.py"],
    "evaluate": ["datasets/hearts/acdc.py"],
    "tune.trials": [],
}


TRAIN = {"pretrain", "finetune", "tune.trials"}


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This package's own code, to be edited."""
    root = tmp_path / "sslseg"
    shutil.copytree(plugins.PACKAGE, root, ignore=lambda _, names: [n for n in names if n == "__pycache__"])
    monkeypatch.setattr(plugins, "PACKAGE", root)
    return root


def _digests(root: Path) -> dict[str, str]:
    identity.code_digest.cache_clear()
    return {s: identity.code_digest(f"sslseg.stages.{s}", *(root / f for f in PLUG_INS[s])) for s in PLUG_INS}


def test_a_comment_in_every_file_changes_no_identity(copied: Path):
    before = _digests(copied)
    for path in copied.rglob("*.py"):
        edited = re.sub(r'^( *""")(?=[A-Z`])', r"\1Read again. ", path.read_text(), flags=re.MULTILINE)
        path.write_text("# Read again.\n" + edited + "# end\n")
    assert _digests(copied) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("stages/outcome/cards.py", "def ", "SIZE = 7\n\n\ndef "), ("stages/outcome/overlays.py", "def ", "X = 1\n\n\ndef "),
     ("stages/evaluate/page.py", "def ", "SIZE = 7\n\n\ndef "), ("config/params/finetune.py", "peak learning rate", "top rate"),
     ("tracking/session.py", "def ", "SIZE = 7\n\n\ndef "), ("methods/agreement/byol.py", "hidden width", "width")],
)  # fmt: skip
def test_cards_overlays_pages_help_texts_and_the_store_change_no_identity(
    copied: Path, file: str, old: str, new: str
):
    before = _digests(copied)
    text = (copied / file).read_text()
    assert old in text
    (copied / file).write_text(text.replace(old, new, 1))
    assert _digests(copied) == before


@pytest.mark.parametrize(
    ("file", "others", "same"),
    [("training/optim.py", TRAIN, {"prepare", "import_encoder", "evaluate"}),
     ("data/slices/encode.py", TRAIN | {"prepare", "evaluate"}, set()),
     ("models/encoder.py", TRAIN | {"import_encoder", "evaluate"}, {"prepare"}),
     ("methods/agreement/byol.py", {"pretrain"}, {*PLUG_INS} - {"pretrain"}),
     ("datasets/hearts/acdc.py", {"prepare", "pretrain", "finetune", "evaluate"}, {"import_encoder", "tune.trials"}),
     ("scoring/surface.py", {"evaluate"}, TRAIN), ("models/importers/bundled.py", {"import_encoder"}, TRAIN),
     ("plans/searchspace.py", {"tune.trials"}, {"pretrain", "finetune"}),
     ("stages/outcome/curves.py", TRAIN, {"prepare", "evaluate"})],
)  # fmt: skip
def test_a_constant_changes_the_identity_of_the_stages_that_use_it(
    copied: Path, file: str, others: set[str], same: set[str]
):
    before = _digests(copied)
    (copied / file).write_text((copied / file).read_text() + "\nCHANGED = 7\n")
    after = _digests(copied)
    changed = {stage for stage in PLUG_INS if after[stage] != before[stage]}
    assert others <= changed
    assert not same & changed


def test_a_module_that_is_not_there_has_no_code(package: Path):
    with pytest.raises(ValueError, match="got sslseg.stages.two"):
        identity.code_digest("sslseg.stages.one", "sslseg.stages.two")


def test_what_is_left_out_is_there():
    assert all((plugins.PACKAGE / place).exists() for place in identity.SILENT)


def test_plug_in_files_count_wherever_the_clone_lies(package: Path, tmp_path: Path):
    plug_in = tmp_path / "mine.py"
    plug_in.write_text("import sslseg.other\n")
    with_it = _code(plug_in)
    assert with_it != _code()
    (package / "other.py").write_text("changed = 1\n")
    assert _code(plug_in) != with_it


def test_the_digest_does_not_depend_on_the_folder(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = _code()
    moved = tmp_path / "moved" / "sslseg"
    moved.parent.mkdir()
    package.rename(moved)
    monkeypatch.setattr(plugins, "PACKAGE", moved)
    assert _code() == before


@pytest.fixture(autouse=True)
def _fresh_cache():
    yield
    identity.code_digest.cache_clear()
