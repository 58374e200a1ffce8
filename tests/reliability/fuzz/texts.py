"""Text files that describe data: Info.cfg, dataset.json, tables, sslseg.json, splits_final.json."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sslseg.config import plugins
from sslseg.data.slices.encode import encode
from sslseg.data.slices.sources import describe
from tests.fixtures import foreign_trees, trees
from tests.reliability.fuzz.runner import Mutation, Wrong

VALUES = ("", " ", "0", "-1", "1.5", "²", "٣", "1e9", "9" * 25, "9" * 5000, "nan", "NULL", "ED", "é" * 300,
          "../../etc/passwd", "a\tb", 'a"b', "'; drop", "$(touch x)", "\x00", "\u202e", "%s%n", "1:2:3")  # fmt: skip
NODES = (None, True, -1, 0, 1, 3.5, 1e308, 10**30, "", "x", "²", "\u0000", [], {}, [[]], {"a": {}}, [1, 2], ["x"],
         "../..", "A" * 5000, {"0": "x"}, {"background": 0})  # fmt: skip


def _tree(name: str, root: Path) -> tuple[str, Path]:
    """A small sound tree: its dataset and the file to be mutated."""
    if name == "Info.cfg":
        trees.acdc(root, patients=1)
        return "acdc", root / "patient001" / "Info.cfg"
    if name == "dataset.json nnunet":
        return "nnunet", foreign_trees.nnunet(root, cases=2) / "dataset.json"
    if name == "dataset.json decathlon":
        return "decathlon", foreign_trees.decathlon(root, cases=2) / "dataset.json"
    if name == "CSV mnms":
        foreign_trees.mnms(root, cases=3, unlabelled=0)
        return "mnms", next(root.glob("*.csv"))
    if name == "CSV cases":
        foreign_trees.images(root, cases=2)
        rows = ["case,patient,group", "p0_0,anna,a", "p0_1,anna,a", "p1_2,bert,b"]
        (root / "table.csv").write_text("\n".join(rows) + "\n")
        (root / "sslseg.json").write_text('{"csv": "table.csv"}')
        return "images", root / "table.csv"
    if name == "splits_final.json":
        foreign_trees.nnunet(root, cases=3)
        folds = [
            {"train": ["case0", "case1"], "val": ["case2"]},
            {"train": ["case0", "case2"], "val": ["case1"]},
        ]
        (root / "splits_final.json").write_text(json.dumps(folds))
        return "nnunet", root / "splits_final.json"
    foreign_trees.images(root, cases=2)
    told = {"classes": {"background": 0, "heart": 255}, "colours": ["#000000", "#ff0000"], "ignore": 7,
            "patient_regex": "^(p[0-9]+)_", "spacing": [0.7, 0.8], "axis": 0, "colour": "keep", "split": "",
            "mask_suffix": "_mask"}  # fmt: skip
    (root / "sslseg.json").write_text(json.dumps(told))
    return "images", root / "sslseg.json"


def _reads(dataset: str, root: Path) -> Callable[[], str]:
    """Description, sources, and every volume into codes."""

    def call() -> str:
        module = plugins.load("datasets", dataset)
        about = describe(module, root)
        sources = module.find(root)
        if len(sources) > 5000:
            raise Wrong(f"{len(sources)} sources in a tree of a few files")
        for source in sources[:6]:
            for path in (source.image, source.label):
                if path is not None and not path.resolve().is_relative_to(root.resolve()):
                    raise Wrong("a file outside the folder")
            volume = module.read(source)
            encoded = encode(volume, 0, len(about.classes))
            known = set(range(len(about.classes))) | {255}
            if encoded.label is not None and not set(np.unique(encoded.label).tolist()) <= known:
                raise Wrong(f"labels {np.unique(encoded.label)} of {len(about.classes)} classes")
        return "as a dataset"

    return call


def _prepared(name: str, folder: Path, templates: dict[str, Path]) -> tuple[str, Path]:
    """A copy of the sound tree, which is written once a process."""
    if name not in templates:
        import tempfile

        templates[name] = Path(tempfile.mkdtemp(prefix="sslseg-fuzz-"))
        _tree(name, templates[name] / "tree")
    shutil.copytree(templates[name] / "tree", folder / "tree", copy_function=_link)
    dataset, file = {
        "Info.cfg": ("acdc", "patient001/Info.cfg"),
        "dataset.json nnunet": ("nnunet", "dataset.json"),
        "dataset.json decathlon": ("decathlon", "dataset.json"),
        "CSV mnms": ("mnms", "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"),
        "CSV cases": ("images", "table.csv"),
        "splits_final.json": ("nnunet", "splits_final.json"),
        "sslseg.json": ("images", "sslseg.json"),
    }[name]
    path = folder / "tree" / file
    content = path.read_bytes()
    path.unlink()  # the others stay hard links to the template
    path.write_bytes(content)
    return dataset, path


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


_TEMPLATES: dict[str, Path] = {}


def _case(name: str, change: Callable, rng: np.random.Generator, folder: Path) -> Callable[[], str]:
    dataset, path = _prepared(name, folder, _TEMPLATES)
    changed = change(rng, path.read_bytes())
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    return _reads(dataset, folder / "tree")


# ---------------------------------------------------------------- changes of bytes
def sound(rng, data: bytes) -> bytes:
    return data


def absent(rng, data: bytes) -> None:
    return None


def truncated(rng, data: bytes) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def bits(rng, data: bytes) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(0, 8 * len(data), int(rng.integers(1, 6))):
        changed[at // 8] ^= 1 << (at % 8)
    return bytes(changed)


def encoding(rng, data: bytes) -> bytes:
    text = data.decode()
    return [
        text.encode("utf-16"), b"\xef\xbb\xbf" + data, b"\xff\xfe\x00" + data, data.replace(b"\n", b"\r\n"),
        data.replace(b"\n", b"\r"), data + b"\x00" * 9, b"", b"\n" * 50, data * 30, data.replace(b"a", b"\xe9"),
    ][int(rng.integers(10))]  # fmt: skip


# ---------------------------------------------------------------- changes of lines and cells
def lines(rng, data: bytes) -> bytes:
    """Lines dropped, doubled, swapped or cut."""
    rows = data.decode().split("\n")
    for _ in range(int(rng.integers(1, 4))):
        at, other = (int(n) for n in rng.integers(0, len(rows), 2))
        change = int(rng.integers(4))
        if change == 0 and len(rows) > 1:
            del rows[at]
        elif change == 1:
            rows.insert(other, rows[at])
        elif change == 2:
            rows[at], rows[other] = rows[other], rows[at]
        else:
            rows[at] = rows[at][: len(rows[at]) // 2]
    return "\n".join(rows).encode()


def values(separator: str, rng, data: bytes) -> bytes:
    """One value of a line replaced, or one more added."""
    rows = data.decode().strip("\n").split("\n")
    at = int(rng.integers(0, len(rows)))
    parts = rows[at].split(separator)
    place = len(parts) - 1 if rng.random() < 0.4 else int(rng.integers(0, len(parts) + 1))
    parts[place : place + 1] = [VALUES[int(rng.integers(len(VALUES)))]]
    rows[at] = separator.join(parts)
    return "\n".join(rows).encode("utf-8", "surrogatepass")


# ---------------------------------------------------------------- changes of JSON
def node(rng, data: bytes) -> bytes:
    """One node replaced, dropped or doubled under another key."""
    told = json.loads(data)
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key in (
            list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        ):
            places.append((part, key))
            walk(part[key])

    walk(told)
    for _ in range(int(rng.integers(1, 3))):
        part, key = places[int(rng.integers(len(places)))]
        change = int(rng.integers(3))
        if change == 0 and isinstance(part, dict):
            part.pop(key, None)
        elif change == 1 and isinstance(part, dict):
            part[str(rng.choice(VALUES))] = part.get(key)
        else:
            part[key] = NODES[int(rng.integers(len(NODES)))]
    return json.dumps(told).encode("utf-8", "surrogatepass")


def nested(rng, data: bytes) -> bytes:
    """A hundred thousand brackets, endless numbers, duplicate keys, what is no JSON though Python reads it."""
    deep = b"[" * 100_000
    choices = (deep, b'{"labels": ' + deep, b"NaN", b"[" + data + b"]", b"9" * 5000, data[:-1] + b', "labels": NaN}',
               data[:-1] + b', "axis": ' + b"1" * 5000 + b"}", b'"' + b"A" * 100_000 + b'"')  # fmt: skip
    return choices[int(rng.integers(len(choices)))]


COMMON = (sound, absent, truncated, bits, encoding, lines)
KINDS: dict[str, dict[str, Callable]] = {
    "Info.cfg": dict.fromkeys(("values", "values again", "more values"), partial(values, ":")),
    **dict.fromkeys(("CSV mnms", "CSV cases"), dict.fromkeys(("cells", "cells again"), partial(values, ","))),
    **dict.fromkeys(
        ("dataset.json nnunet", "dataset.json decathlon", "sslseg.json", "splits_final.json"),
        {"node": node, "node again": node, "nested": nested},
    ),
}


def mutations(name: str) -> dict[str, Mutation]:
    """Of one kind of file."""
    changes = {f.__name__: f for f in COMMON} | KINDS[name]
    return {kind: partial(_case, name, change) for kind, change in changes.items()}
