"""Files that this project has written itself and meets again: models, checkpoints, archives; and pictures."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch

from sslseg.config import names
from sslseg.config.files import sha256
from sslseg.data.readers import formats
from sslseg.data.slices.intensity import Intensity
from sslseg.models import encoder, segmenter, unet
from sslseg.tracking.capsule import archive
from sslseg.training import checkpoint
from tests.reliability.fuzz.runner import Mutation, Wrong
from tests.reliability.fuzz.texts import node

ARCHITECTURE = "test_resnet"


def _spoil(rng: np.random.Generator, path: Path) -> None:
    """Truncate, flip, overwrite, empty, lengthen or remove a file."""
    data = bytearray(path.read_bytes())
    kind = int(rng.integers(7))
    if kind == 0:
        data = data[: int(rng.integers(0, len(data)))]
    elif kind == 1:
        for at in rng.integers(0, 8 * len(data), int(rng.integers(1, 6))):
            data[at // 8] ^= 1 << (at % 8)
    elif kind == 2:
        for at in rng.integers(0, min(600, len(data)), int(rng.integers(1, 6))):
            data[at] = int(rng.integers(0, 256))
    elif kind == 3:
        data = bytearray()
    elif kind == 4:
        data += rng.bytes(int(rng.integers(1, 3000)))
    elif kind == 5:
        path.unlink()
        return
    else:
        at = int(rng.integers(0, len(data)))
        data[at : at + 200] = rng.bytes(len(data[at : at + 200]))
    path.write_bytes(data)


# ---------------------------------------------------------------- folders of models
@cache
def _encoder() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        net = encoder.build(ARCHITECTURE, 1, 0)
        encoder.save(net, Path(scratch), architecture=ARCHITECTURE, channels=1)
        return {f.name: f.read_bytes() for f in Path(scratch).iterdir()}


@cache
def _segmenter() -> dict[str, bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        net = unet.empty(ARCHITECTURE, 1, 2, (8, 8, 8, 8, 8))
        law = Intensity("dataset", (0.5,), (0.5,))
        segmenter.save(net, Path(scratch), architecture=ARCHITECTURE, channels=1, classes=("background", "LV"),
                       decoder_channels=(8,) * 5, normalisation=law, spacing=1.0)  # fmt: skip
        return {f.name: f.read_bytes() for f in Path(scratch).iterdir()}


MODELS = {"encoder folder": (_encoder, encoder.load), "segmenter folder": (_segmenter, segmenter.load)}


def _loads(kind: str, folder: Path) -> Callable[[], str]:
    def call() -> str:
        found = MODELS[kind][1](folder)
        net = found[0] if isinstance(found, tuple) else found
        if sum(p.numel() for p in net.parameters()) > 50e6:
            raise Wrong("a network out of all proportion to its file")
        return "as a model"

    return call


def spoilt(kind: str, file: str, rng, folder):
    """Bytes of one of the two files."""
    for name, data in MODELS[kind][0]().items():
        (folder / name).write_bytes(data)
    _spoil(rng, folder / file)
    return _loads(kind, folder)


def config_node(kind: str, rng, folder):
    """One value of config.json replaced."""
    for name, data in MODELS[kind][0]().items():
        (folder / name).write_bytes(node(rng, data) if name == names.CONFIG_FILE else data)
    return _loads(kind, folder)


def config_size(kind: str, rng, folder):
    """Numbers out of all proportion in config.json: of channels, classes, decoder stages."""
    config = json.loads(MODELS[kind][0]()[names.CONFIG_FILE])
    many = int(rng.choice([0, -1, 1, 64, 65, 1000, 10**5, 10**9]))
    changes = (
        {"model_args": {"in_chans": many}}, {"classes": ["x"] * min(abs(many), 10**5)}, {"num_features": many},
        {"decoder_channels": [many] * 5}, {"decoder_channels": [8] * min(abs(many), 1000)}, {"num_classes": many},
        {"architecture": "eva_giant_patch14_560"}, {"architecture": "convnext_xxlarge"}, {"spacing": float(many)},
    )  # fmt: skip
    for name, data in MODELS[kind][0]().items():
        (folder / name).write_bytes(data)
    changed = config | changes[int(rng.integers(len(changes)))]
    (folder / names.CONFIG_FILE).write_text(json.dumps(changed))
    return _loads(kind, folder)


def _of_model(kind: str) -> dict[str, Mutation]:
    return {
        "weights": partial(spoilt, kind, names.WEIGHTS_FILE), "config": partial(spoilt, kind, names.CONFIG_FILE),
        "config node": partial(config_node, kind), "config size": partial(config_size, kind),
    }  # fmt: skip


# ---------------------------------------------------------------- checkpoints of a training
def training_checkpoint(rng, folder):
    """The newest of two is spoilt, or what lies beside them."""
    tensors = {step: {"w": torch.full((5, 3), float(step)), "n": torch.tensor(step)} for step in (10, 20)}
    for step, content in tensors.items():
        checkpoint.save(folder, step, content, {"curve": [[step, 0.5]]})
    files = sorted(f for f in folder.iterdir() if "20" in f.name)
    _spoil(rng, files[int(rng.integers(len(files)))])

    def call() -> str:
        found = checkpoint.latest(folder)
        if found is None or found.step not in tensors:
            raise Wrong("no checkpoint, though one is whole")
        if not all(torch.equal(found.tensors[k], v) for k, v in tensors[found.step].items()):
            raise Wrong("other tensors than were saved")
        if found.meta != {"curve": [[found.step, 0.5]]}:
            raise Wrong("another curve than was saved")
        return f"back to step {found.step}"

    return call


# ---------------------------------------------------------------- archives
def packed(rng, folder):
    (folder / "f").write_bytes(rng.bytes(500))
    archive.write(folder / "a.tgz", {"runs": [1, 2]}, {"x/f": folder / "f"})
    _spoil(rng, folder / "a.tgz")
    return _unpacks(folder)


def archive_members(rng, folder):
    """Links, devices, absolute names, names that lead out, doubles, lies about size."""
    (folder / "f").write_bytes(b"content")
    good = sha256(folder / "f")
    kinds = (
        tarfile.REGTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
    )
    places = (
        "files/x",
        "files/../../x",
        "/x",
        "files/./x",
        "x",
        "files//x",
        "files/\\x",
        "store.json",
        "files/\nx",
    )
    name, kind = places[int(rng.integers(len(places)))], kinds[int(rng.integers(len(kinds)))]
    with tarfile.open(folder / "a.tgz", "w:gz") as tar:
        heads = ({"format": 1, "files": {"x": good}}, {"format": 2}, [], {"format": 1, "files": {"../x": good}},
                 {"format": 1, "files": None}, {"format": 1, "files": {"x": 3}})  # fmt: skip
        head = json.dumps(heads[0 if rng.random() < 0.6 else int(rng.integers(len(heads)))]).encode()
        for member, data, what in (("store.json", head, tarfile.REGTYPE), (name, b"content", kind)):
            info = tarfile.TarInfo(member)
            info.type, info.linkname = what, "/etc/passwd"
            info.size = len(data) if what == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    return _unpacks(folder)


def _unpacks(folder: Path) -> Callable[[], str]:
    def call() -> str:
        out = folder / "out"
        before = {p for p in folder.rglob("*") if out not in p.parents}
        archive.read(folder / "a.tgz", out)
        strange = [p for p in folder.rglob("*") if p not in before and p != out and out not in p.parents]
        if strange or any(p.is_symlink() for p in folder.rglob("*")):
            raise Wrong(f"something outside its folder: {strange}")
        return "as an archive"

    return call


# ---------------------------------------------------------------- pictures
def _picture(rng, folder: Path, suffix: str) -> Callable[[], str]:
    deep = suffix in (".png", ".tiff") and rng.random() < 0.5
    shape = (13, 11) if rng.random() < 0.5 else (13, 11, 3)
    array = rng.integers(0, 65535 if deep else 255, shape).astype(np.uint16 if deep else np.uint8)
    path = folder / f"a{suffix}"
    cv2.imwrite(str(path), array)
    if rng.random() < 0.9:
        _spoil(rng, path)

    def call() -> str:
        image, spacing = formats.read(path)
        if image.ndim != 4 or image.size > 1e8 or spacing is not None:
            raise Wrong(f"an image of shape {image.shape}, spacing {spacing}")
        return "as a picture"

    return call


ALL: dict[str, dict[str, Mutation]] = {
    **{kind: _of_model(kind) for kind in MODELS},
    "own checkpoint": {"training_checkpoint": training_checkpoint},
    "archive": {f.__name__: f for f in (packed, archive_members)},
    "picture": {s[1:]: partial(_picture, suffix=s) for s in (".png", ".tiff", ".bmp", ".jpg")},
}


def mutations(name: str) -> dict[str, Mutation]:
    """Of one kind of file."""
    return ALL[name]
