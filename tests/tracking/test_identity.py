"""An identity changes with what determines a result, and with nothing else."""

from __future__ import annotations

import dataclasses
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
    (package / file).write_text((package / file).read_text() + "\n# changed\n")
    assert _code() != before


@pytest.mark.parametrize("file", ["other.py", "lazy.py", "__init__.py"])
def test_code_that_is_not_imported_does_not(package: Path, file: str):
    before = _code()
    (package / file).write_text("changed = 1\n")
    assert _code() == before


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
