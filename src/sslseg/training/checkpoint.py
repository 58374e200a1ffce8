"""A training that can be stopped anywhere, also in the middle of this file.

A checkpoint is one file, `step-<n>.safetensors`: tensors, and in its header what belongs to them and the digest of all.
It is written aside and renamed, so that it is there whole or not at all.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sslseg.config.files import aside

KEEP = 2  # the newest, and the one before in case the newest is damaged
OPTIMIZER = "optimizer."


class Checkpoint(NamedTuple):
    """What `latest` found: tensors lie on the CPU."""

    step: int
    tensors: dict[str, Tensor]
    meta: dict


# ---------------------------------------------------------------- files
def _digest(state: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 of a text and of tensors, with their names, types and shapes."""
    digest = hashlib.sha256(state.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    """Oldest first; the zero-padded name is the order."""
    return sorted(folder.glob("step-*.safetensors"))


def save(folder: Path | str, step: int, tensors: dict[str, Tensor], meta: dict) -> Path:
    """Write the checkpoint of `step`, then remove all but the newest `KEEP`.

    Checkpoints of later steps (damaged ones that a resume passed over) and parts that a killed
    writer left are removed too. One writer per folder.

    Args:
        meta: anything JSON can hold.

    Returns:
        the file.

    Raises:
        OSError: the disk is full or read-only; older checkpoints are intact then.
    """
    path = Path(folder) / f"step-{step:010d}.safetensors"
    flat = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()
    }
    state = json.dumps({"step": step, "meta": meta})
    with aside(path, durable=True) as part:
        save_file(flat, part, metadata={"state": state, "sha256": _digest(state, flat)})
    kept = [file for file in _files(path.parent) if file <= path][-KEEP:]
    for file in {*path.parent.glob(".part-*"), *path.parent.glob("step-*")}.difference(kept):
        file.unlink(missing_ok=True)
    return path


def _read(path: Path) -> Checkpoint:
    """Raises ValueError, OSError or a safetensors error: this is not a whole checkpoint."""
    with safe_open(path, "pt") as file:
        facts, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if facts.get("sha256") != _digest(facts.get("state", ""), tensors):
        raise ValueError("its content is not what was written")
    return Checkpoint(tensors=tensors, **json.loads(facts["state"]))


def latest(folder: Path | str, *, warn: Callable[[str], None] = lambda sentence: None) -> Checkpoint | None:
    """The newest whole checkpoint, or None.

    Args:
        warn: called with one sentence for each torn, truncated or tampered one passed over.
    """
    for file in reversed(_files(Path(folder))):
        try:
            return _read(file)
        except (ValueError, OSError, SafetensorError) as fault:
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
