"""Every file below a data folder: what may be data, and what is passed over and why.

Passed over are hidden files and folders, those that operating systems and file servers leave behind, and what
sslseg and MLflow write themselves, wherever it lies. Links are followed; a folder is entered once, however many
links lead to it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sslseg.config import files
from sslseg.config.caches import MADE_HERE
from sslseg.config.names import DataError
from sslseg.data.slices.slice_store import CODES, META
from sslseg.data.source import Fault

# left behind by Synology, QNAP, NetApp, Windows, macOS, ext4, Python, npm; compared in lower case
SYSTEM = {"@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler",
          "system volume information", "__macosx", "lost+found", "__pycache__", "thumbs.db", "ehthumbs.db",
          "desktop.ini", "~snapshot", "network trash folder", "temporary items", "node_modules"}  # fmt: skip
LOCK = "~$"  # begins the lock files of office programs
PYTHON = "pyvenv.cfg"  # lies in every virtual environment, whose packages bring pictures
STORE = {CODES, META}  # files of a slice store
TRACKED = {"mlruns", "mlartifacts"}  # MLflow's own names
RUN = re.compile(r"(m-)?[0-9a-f]{32}")  # … and those of its runs and models, whose files are in "artifacts"
POINTERS = {b"/annex/objects/": "git-annex", b"version https://git-lfs": "Git LFS"}
FETCH = {"git-annex": "datalad get (or git annex get)", "Git LFS": "git lfs pull"}


@dataclass(frozen=True)
class Tree:
    """What lies below a folder. Every file is in `files` or below an entry of `passed`."""

    files: tuple[Path, ...]  # sorted; links that lead nowhere among them
    passed: dict[Path, str] = field(default_factory=dict)  # file or folder -> why it is passed over


def walk(root: Path) -> Tree:
    """Everything below `root`; opens no file."""
    found: list[Path] = []
    passed: dict[Path, str] = {}
    seen = {os.path.realpath(root): Path(root)}
    folders, links = [Path(root)], list[Path]()
    while folders or links:  # real folders first, so that a link is what is passed over
        if not folders:
            link = links.pop(0)
            first = seen.setdefault(os.path.realpath(link), link)
            if first != link:
                passed[link] = f"a link to {first}"
            else:
                folders.append(link)
            continue
        folder = folders.pop()
        entries, why = _entries(folder)
        if why and folder != Path(root):
            passed[folder] = why
            continue
        for entry in entries:
            path = folder / entry.name
            if left := _left_behind(entry.name):
                passed[path] = left
            elif not entry.is_dir():
                found.append(path)
            elif entry.is_symlink():
                links.append(path)
            else:
                seen.setdefault(os.path.realpath(path), path)
                folders.append(path)
    return Tree(tuple(sorted(found)), passed)


def _entries(folder: Path) -> tuple[list[os.DirEntry], str]:
    """What lies in a folder, and why it is not entered."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        return [], f"cannot be opened ({error.strerror})"
    names = {entry.name for entry in found}
    if MADE_HERE in names or names >= STORE:
        return found, "written by sslseg"
    if PYTHON in names:
        return found, "a Python environment"
    if folder.name.lower() in TRACKED or (RUN.fullmatch(folder.name) and "artifacts" in names):
        return found, "written by MLflow"
    return found, ""


def _left_behind(name: str) -> str:
    if name.startswith("."):
        return "hidden"
    return "of the operating system" if name.lower() in SYSTEM or name.startswith(LOCK) else ""


def below(root: Path, fault: Fault) -> list[Path]:
    """The files of `walk` whose content is here; the others are reported to `fault`."""
    found = []
    for path in walk(root).files:
        try:
            check(path)
            found.append(path)
        except DataError as error:
            fault(path, error)
    return found


def check(path: Path) -> None:
    """Raises DataError where a link leads nowhere: version control has not fetched the file."""
    if not path.is_symlink() or path.exists():
        return
    target = os.readlink(path)
    if "annex/objects" in target.replace(os.sep, "/"):
        raise DataError(f"{path}: wanted the file, got a link of git-annex: run {FETCH['git-annex']} first")
    raise DataError(f"{path}: wanted the file, got a link to {target}, which is not there")


def stamp(path: Path) -> tuple[int, int, int]:
    """What changes when a file is written again. Raises DataError when it cannot be read."""
    try:
        return files.stamp(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


TEXTS: set[Path] = set()  # descriptions and tables that this process has read, see `account`


def text(path: Path, wanted: str) -> str:
    """The text of a file that describes data, in UTF-8 with or without a byte-order mark; kept in TEXTS.

    Args:
        wanted: what it should be, for the message.

    Raises:
        DataError: it cannot be read, is in another encoding, or is a pointer of version control.
    """
    check(path)
    try:
        data = path.read_bytes()
        check_start(path, data[:64])
        found = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: wanted {wanted} ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: wanted {wanted} in UTF-8 ({error})") from None
    TEXTS.add(path)
    return found


def check_start(path: Path, start: bytes) -> None:
    """Raises DataError where the first bytes of a file are version control's, in the place of its content."""
    for begin, tool in POINTERS.items():
        if start.startswith(begin):
            raise DataError(f"{path}: wanted the file, got a pointer of {tool}: run {FETCH[tool]} first")


def may_write(path: Path, ours: Callable[[Path], bool]) -> None:
    """Raises DataError where a mask is to be written and a file lies that is not `ours`."""
    if path.exists() and not ours(path):
        raise DataError(f"{path}: is there already and was not written by sslseg; choose another output")


def instead(root: Path) -> str:
    """What lies below a folder in the place of what was wanted, in words that follow "got"."""
    found = walk(root)
    endings = Counter("".join(path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]).lower() or "without an ending"
                      for path in found.files)  # fmt: skip
    hidden = f"; {len(found.passed)} hidden or system entries are passed over" if found.passed else ""
    if not endings:
        return f"none: the folder is {'not there' if not root.is_dir() else 'empty'}{hidden}"
    kinds = ", ".join(f"{many} {ending}" for ending, many in endings.most_common(4))
    return f"none among {len(found.files)} files ({kinds}{', …' if len(endings) > 4 else ''}){hidden}"


def same(text: str) -> str:
    """A name as it is compared: one form of accents (macOS and Linux write two)."""
    return unicodedata.normalize("NFC", text)
