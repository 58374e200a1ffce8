"""What numba kept on disk is loaded only where it is as this user's processes left it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from sslseg.data.views import compiled


def double(x):
    return 2 * x


class Bomb:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compiled, "_seen", set())
    monkeypatch.setattr(compiled, "_kept", {})
    return tmp_path / "home"


def called(monkeypatch) -> tuple[int, int]:
    """As in a new process: how often the function was found on disk, and how often it was compiled."""
    monkeypatch.setattr(compiled, "_seen", set())
    monkeypatch.setattr(compiled, "_kept", {})
    function = compiled.compiled(double)
    assert function(21) == 42
    compiled.keep(function)
    return sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values())


DAMAGE = {
    "truncated": lambda file, _: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file, _: os.truncate(file, 0),
    "garbage": lambda file, _: file.write_bytes(b"\x80\x05garbage" * 20),
    "one bit": lambda file, _: file.write_bytes(file.read_bytes()[:-9] + b"\1" + file.read_bytes()[-8:]),
    "another's pickle": lambda file, mark: file.write_bytes(pickle.dumps(Bomb(mark))),
}


@pytest.mark.parametrize("ending", compiled.ENDINGS)
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_compiled_anew_and_never_unpickled(home, tmp_path, monkeypatch, name, ending):
    assert called(monkeypatch) == (0, 1)
    assert called(monkeypatch) == (1, 0)
    (file,) = home.rglob(f"*{ending}")
    DAMAGE[name](file, tmp_path / "was unpickled")
    assert called(monkeypatch) == (0, 1)
    assert not (tmp_path / "was unpickled").exists()
    assert called(monkeypatch) == (1, 0)


def test_files_of_which_nothing_is_known_are_not_loaded(home, monkeypatch):
    assert called(monkeypatch) == (0, 1)
    (sums,) = home.rglob(compiled.SUMS)
    for text in ("", "[]", "{}"):
        sums.write_text(text)
        assert called(monkeypatch) == (0, 1)


@pytest.mark.skipif(os.name == "nt", reason="no modes of files")
def test_a_folder_that_others_can_enter_or_that_is_a_link_is_not_used(home, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path))
    first = compiled.place()
    assert first.parent == home
    first.chmod(0o755)
    second = compiled.place()
    assert second.parent == tmp_path / ".cache"
    second.rename(tmp_path / "elsewhere")
    second.symlink_to(tmp_path / "elsewhere")
    third = compiled.place()
    assert third.parent == tmp_path / "temporary"
    assert third.stat().st_mode & 0o777 == 0o700
    third.chmod(0o770)
    assert compiled.place() is None
    assert compiled.compiled(double)(4) == 8
