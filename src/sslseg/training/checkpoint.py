"""A training that can be stopped anywhere, also in the middle of this file.

A checkpoint is `step-<n>.safetensors` plus `step-<n>.json`, written in that order, each by
rename. Without a sidecar whose digests agree there is no checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sslseg.config.files import aside, sha256

KEEP = 2  # the newest, and the one before in case the newest is torn
OPTIMIZER = "optimizer."


class Checkpoint(NamedTuple):
    """What `latest` found: tensors lie on the CPU."""

    step: int
    tensors: dict[str, Tensor]
    meta: dict


# ---------------------------------------------------------------- files
def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, force to disk, rename: `path` is old or new, never half."""
    with aside(path, durable=True) as part:
        write(part)


def _seal(sidecar: dict) -> str:
    """sha256 of the sidecar's other entries, so that a changed step or meta is seen too."""
    rest = {key: value for key, value in sidecar.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sidecars(folder: Path) -> list[Path]:
    """Oldest first; the zero-padded name is the order."""
    return sorted(folder.glob("step-*.json"))


def save(folder: Path | str, step: int, tensors: dict[str, Tensor], meta: dict, *, keep: int = KEEP) -> Path:
    """Write the checkpoint of `step`, then remove all but the newest `keep`.

    Checkpoints of later steps (torn ones that a resume passed over) and parts that a killed
    writer left are removed too. One writer per folder.

    Args:
        meta: anything JSON can hold.

    Returns:
        the safetensors file.

    Raises:
        OSError: the disk is full or read-only; older checkpoints are intact then.
    """
    folder = Path(folder)
    path = folder / f"step-{step:010d}.safetensors"
    path.with_suffix(".json").unlink(missing_ok=True)  # never an old sidecar beside new tensors
    flat = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()
    }
    _replace(path, lambda part: save_file(flat, part))
    sidecar = {"step": step, "sha256": sha256(path), "meta": meta}
    sidecar["seal"] = _seal(json.loads(json.dumps(sidecar)))
    _replace(path.with_suffix(".json"), lambda part: part.write_text(json.dumps(sidecar)))
    _prune(folder, path.stem, keep)
    return path


def _prune(folder: Path, newest: str, keep: int) -> None:
    stems = [sidecar.stem for sidecar in _sidecars(folder) if sidecar.stem <= newest]
    wanted = set(stems[-keep:])
    for part in [*folder.glob(".part-*"), *folder.glob("*.part")]:  # as they are named now, and were before
        part.unlink(missing_ok=True)
    for file in sorted(folder.glob("step-*")):  # .json sorts before .safetensors: sidecars go first
        if file.name.split(".")[0] not in wanted:
            file.unlink(missing_ok=True)


def _read(sidecar_file: Path) -> Checkpoint:
    """Raises ValueError, OSError or a safetensors error: this is not a whole checkpoint."""
    sidecar = json.loads(sidecar_file.read_text())
    if not isinstance(sidecar, dict) or sidecar.get("seal") != _seal(sidecar):
        raise ValueError("its sidecar was changed")
    weights = sidecar_file.with_suffix(".safetensors")
    digest = sha256(weights)
    if digest != sidecar["sha256"]:
        raise ValueError(f"wanted sha256 {sidecar['sha256']}, got {digest}")
    return Checkpoint(sidecar["step"], load_file(weights), sidecar["meta"])


def latest(folder: Path | str, *, warn: Callable[[str], None] = lambda sentence: None) -> Checkpoint | None:
    """The newest whole checkpoint, or None.

    Args:
        warn: called with one sentence for each torn, truncated or tampered one passed over.
    """
    for sidecar in reversed(_sidecars(Path(folder))):
        try:
            return _read(sidecar)
        except (ValueError, OSError, SafetensorError) as fault:  # JSON and Unicode errors are ValueErrors
            file = sidecar.with_suffix(".safetensors")
            warn(f"checkpoint {file} is damaged ({fault}); trying the one before")
    return None


# ---------------------------------------------------------------- optimiser <-> named tensors
def optimizer_tensors(
    optimizer: torch.optim.Optimizer, named: Iterable[tuple[str, nn.Parameter]]
) -> dict[str, Tensor]:
    """`optimizer.<parameter>.<slot>` -> tensor, for LARS (momentum) and Adam (moments and step)."""
    return {
        f"{OPTIMIZER}{name}.{slot}": value
        for name, parameter in named
        for slot, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, named: Iterable[tuple[str, nn.Parameter]], tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` took; other names in `tensors` are not looked at.

    A slot of its parameter's shape also gets its memory format: a sum taken in another order
    would differ in the last bit.

    Raises:
        ValueError: a slot belongs to no parameter.
    """
    names = {id(parameter): name for name, parameter in named}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    position = {names[id(parameter)]: index for index, parameter in enumerate(parameters)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if not key.startswith(OPTIMIZER):
            continue
        name, slot = key.removeprefix(OPTIMIZER).rsplit(".", 1)
        if name not in position:
            raise ValueError(f"checkpoint holds {key!r}, but no parameter {name!r} is trained")
        like = parameters[position[name]]
        if value.shape == like.shape and value.ndim:
            value = torch.empty_like(like, device="cpu", dtype=value.dtype).copy_(value)
        state.setdefault(position[name], {})[slot] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
