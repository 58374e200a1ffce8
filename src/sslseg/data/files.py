"""Every file below a data folder: what may be data, and what is passed over and why.

Passed over are hidden files and folders, those that operating systems and file servers leave behind, and what
sslseg and MLflow write themselves, wherever it lies. Links are followed; a folder is entered once, however many
links lead to it.
"""

import os
import re
import unicodedata
from collections import Counter, deque
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
    root, found, passed, seen = Path(root), list[Path](), dict[Path, str](), dict[str, Path]()

    def closed(error: OSError) -> None:
        if (folder := Path(error.filename)) != root:
            passed[folder] = f"cannot be opened ({error.strerror})"

    starts = deque([root])
    while starts:  # links after all real folders, so that a link is what is passed over
        start = starts.popleft()
        if first := seen.get(os.path.realpath(start)):
            passed[start] = f"a link to {first}"
            continue
        for place, folders, names in os.walk(start, onerror=closed):
            folder = Path(place)
            seen[os.path.realpath(folder)] = folder
            if folder != root and (why := _made(folder.name, {*folders, *names})):
                passed[folder] = why
                folders.clear()
                continue
            left = {name: why for name in (*folders, *names) if (why := _left_behind(name))}
            passed |= {folder / name: why for name, why in left.items()}
            found += [folder / name for name in names if name not in left]
            links = {name for name in folders if os.path.islink(os.path.join(place, name))}
            starts += [folder / name for name in sorted(links - set(left))]
            folders[:] = [name for name in folders if name not in links and name not in left]
    return Tree(tuple(sorted(found)), passed)


def _made(name: str, held: set[str]) -> str:
    """Who made a folder that holds no data of the user's; "" of others."""
    if MADE_HERE in held or held >= STORE:
        return "written by sslseg"
    if PYTHON in held:
        return "a Python environment"
    mlflow = name.lower() in TRACKED or (RUN.fullmatch(name) and "artifacts" in held)
    return "written by MLflow" if mlflow else ""


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
    try:
        check(path)
        check_start(path, data := path.read_bytes())
        found = data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: wanted {wanted} ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: wanted {wanted} in UTF-8 ({error})") from None
    TEXTS.add(path)
    return found


def start(path: Path, count: int = 64) -> bytes:
    """The first bytes of a file.

    Raises:
        DataError: version control has a link or a pointer in its place.
        OSError: it cannot be read.
    """
    check(path)
    with path.open("rb") as file:
        found = file.read(count)
    check_start(path, found)
    return found


def check_start(path: Path, found: bytes) -> None:
    """Raises DataError where what a file begins with is a pointer of version control's, in the place of its content."""
    for begin, tool in POINTERS.items():
        if found.startswith(begin):
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
