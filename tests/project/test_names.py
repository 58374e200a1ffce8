"""`names.py` holds what it says: every tag, and each metric and artifact that is known in two files."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from sslseg.config import names
from tests.fixtures import source_texts

ROOT = Path(__file__).parents[2]
NAMES = Path("src/sslseg/config/names.py")
TAG = re.compile(r"sslseg\.(?!json$)[a-z0-9_]+")  # sslseg.json is a file of the user's
METRIC = re.compile(r"[a-z_]+/[a-z_]+(/[a-z_]+)*")
ARTIFACT = re.compile(r"[\w/-]+\.(json|csv|tsv|html|txt|md|png|svg|parquet|diff|npz|safetensors)")
MODULES = {f"sslseg.{path.stem}" for path in (ROOT / "src" / "sslseg").iterdir()}
FORMATS = {"dataset.json", "annex/objects"}  # of others: nnU-Net and the Decathlon, git-annex


def _strays(texts: dict[Path, list[str]]) -> list[str]:
    """Tags outside of `names.py`; metrics and artifacts that two files spell, or one that `names.py` spells too."""
    where: dict[str, set[Path]] = defaultdict(set)
    for file, some in texts.items():
        for text in some:
            if any(pattern.fullmatch(text) for pattern in (TAG, METRIC, ARTIFACT)):
                where[text].add(file)
    held = {value for value in vars(names).values() if isinstance(value, str)}
    return [
        f"{text} in {', '.join(map(str, sorted(files)))}"
        for text, files in sorted(where.items())
        if files != {NAMES}
        and text not in FORMATS
        and (TAG.fullmatch(text) or text in held or len(files) > 1)
    ]


def test_no_name_is_spelled_twice() -> None:
    files = sorted([*(ROOT / "src").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")])
    assert len(files) > 200
    texts = {f.relative_to(ROOT): [t for t in source_texts.texts(f) if t not in MODULES] for f in files}
    assert _strays(texts) == []


def test_a_stray_is_seen() -> None:
    """One of each kind."""
    one, other = Path("src/a.py"), Path("src/b.py")
    assert _strays({one: ["sslseg.stray"]}) == ["sslseg.stray in src/a.py"]
    assert _strays({one: [names.TEST_IOU, "own/number"]}) == ["test/iou in src/a.py"]
    assert _strays({one: ["own/number"], other: ["own/number"]}) == ["own/number in src/a.py, src/b.py"]
    assert _strays({one: ["page.html"], other: ["page.html"]}) == ["page.html in src/a.py, src/b.py"]
    assert (
        _strays({NAMES: [names.TEST_IOU, names.TAG_CELL], one: ["dataset.json"], other: ["dataset.json"]})
        == []
    )
