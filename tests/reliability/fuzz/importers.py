"""The importer: what a user names as a source, what he declares of it, and files that are something else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from sslseg.models import encoder
from sslseg.models.importers import bundled, imports
from tests.reliability.fuzz import checkpoints
from tests.reliability.fuzz.runner import Mutation, Wrong
from tests.reliability.fuzz.words import word


def _fetches(folder: Path, source: str, **declared: object) -> Callable[[], str]:
    """Fetched and written to an encoder folder, as the stage does it."""
    told = {"origin": "a colleague", "architecture": checkpoints.NETWORK} | declared

    def call() -> str:
        found = imports.fetch(source, **told)
        extra = {"origin": found.origin, "dataset": found.dataset, "provenance": found.provenance}
        known = {
            "architecture": found.architecture,
            "channels": found.channels,
            "normalisation": found.normalisation,
        }
        encoder.save(found.state, folder / "encoder", **known, extra=extra)
        state, _ = encoder.read_state(folder / "encoder")
        if not all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point()):
            raise Wrong("weights that are not finite")
        return f"as an encoder of {found.channels} channels"

    return call


def source(rng, folder):
    """Words where timm:<name>, file:<path> or bundled:<name> is wanted; none of them reaches a network."""
    scheme = ("", "timm:", "file:", "bundled:", "timm:hf-hub:", "timm:local-dir:", "http://", "file://")
    text = scheme[int(rng.integers(len(scheme)))] + word(rng)
    bare = text.startswith(("timm:", "bundled:"))
    return _fetches(folder, text, **({"architecture": "", "origin": ""} if bare else {}))


def declared(rng, folder):
    """A sound file, and one of the declarations a hostile word or number."""
    (folder / "a.pth").write_bytes(checkpoints._sound("timm"))
    key = str(rng.choice(["origin", "architecture", "role", "strip", "trained_on", "trained_by", "channels"]))
    value = int(rng.choice([1, 2, 3, 4, 64])) if key == "channels" else word(rng)
    value = (value,) if key == "strip" else value
    return _fetches(folder, f"file:{folder / 'a.pth'}", **{key: value})


def other_file(rng, folder):
    """Something that is no checkpoint, under a checkpoint's name; or a checkpoint under another's."""
    path = folder / ("a" + str(rng.choice([".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".tar", ""])))
    numpy, zipped = io.BytesIO(), io.BytesIO()
    np.save(numpy, np.arange(9))
    np.savez(zipped, a=np.arange(9))
    choices = (b"", b"\x80\x04.", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), numpy.getvalue(), zipped.getvalue(),
               b"\x89PNG\r\n\x1a\n" + bytes(99), b"\x1f\x8b" + bytes(40), b"{}", bytes(100_000), rng.bytes(5000),
               b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", b"<html>404</html>",
               checkpoints._sound("timm"))  # fmt: skip
    path.write_bytes(choices[int(rng.integers(len(choices)))])
    return _fetches(folder, f"file:{path}")


def other_place(rng, folder):
    """A folder, a link into nothing, a ring of links, a named pipe, no permission to be expected."""
    import os

    path, fate = folder / "a.pth", int(rng.integers(5))
    if fate == 0:
        path.mkdir()
    elif fate == 1:
        path.symlink_to(folder / "absent")
    elif fate == 2:
        path.symlink_to(path)
    elif fate == 3:
        os.mkfifo(path)
    return _fetches(folder, f"file:{path}")


def other_network(rng, folder):
    """A sound file of another network, a part of one, or with weights that are not finite."""
    state = {k: v.clone() for k, v in checkpoints._target().items()}
    floats = [k for k, v in state.items() if v.is_floating_point()]
    fate, key = int(rng.integers(5)), str(rng.choice(floats))
    if fate == 0:
        state = {k: v for k, v in state.items() if not k.startswith(key.split(".")[0])}
    elif fate == 1:
        state[key].view(-1)[0] = float(rng.choice([np.nan, np.inf]))
    elif fate == 2:
        state = {f"{word(rng, 6)}.{k}": v for k, v in state.items()}
    elif fate == 3:
        other = str(rng.choice(["resnet18", "vit_tiny_patch16_224"]))
        return _fetches(folder, *_saved(state, folder), architecture=other)
    else:
        state[key] = state[key].half()
    return _fetches(folder, *_saved(state, folder))


def _saved(state: dict[str, torch.Tensor], folder: Path) -> list[str]:
    save_file(state, folder / "a.safetensors")
    return [f"file:{folder / 'a.safetensors'}"]


def package(rng, folder):
    """The bundled weights, with declarations that do not apply to them."""
    key = str(rng.choice(["origin", "trained_on", "trained_by", "architecture", "role"]))
    return _fetches(folder, f"bundled:{bundled.NAME}", **{"origin": "", "architecture": "", key: word(rng)})


def mutations(name: str) -> dict[str, Mutation]:
    """Of the importer."""
    return {f.__name__: f for f in (source, declared, other_file, other_place, other_network, package)}
