"""A folder of two files, `model.safetensors` and `config.json`, read without trust.

Nothing is unpickled. Sizes are checked before anything is parsed, so that a damaged or hostile file
costs neither memory nor time.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sslseg.config import files
from sslseg.config.files import aside
from sslseg.config.names import CONFIG_FILE, WEIGHTS_FILE, EncoderError
from sslseg.config.texts import some

HEADER_LIMIT = 16 << 20  # bytes; the header of a 1,300-tensor network takes 0.2 MB
CONFIG_LIMIT = 1 << 20  # bytes
LENGTH = 8  # safetensors: a little-endian uint64 in front holds the header's length


def write(folder: Path | str, state: Mapping[str, torch.Tensor], config: dict) -> str:
    """Write both files, each whole or not at all.

    Returns:
        sha256 of the weights file; equal tensors give equal files.

    Raises:
        EncoderError: a tensor holds NaN or infinity.
    """
    folder = Path(folder)
    text = json.dumps(config, indent=1, sort_keys=True, allow_nan=False)
    with aside(folder / CONFIG_FILE) as second:
        second.write_text(text + "\n", encoding="utf-8")
        write_weights(folder / WEIGHTS_FILE, state)
    return sha256(folder)


def write_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write one file of tensors, whole or not at all. Raises EncoderError: a tensor holds NaN or infinity."""
    bad = [name for name, t in state.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if bad:
        raise EncoderError(f"{len(bad)} tensors hold NaN or infinity and are not saved: {some(bad, 6)}")
    # clone: safetensors refuses tensors that share memory
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in state.items()}
    with aside(path) as part:
        part.touch()
        mode = part.stat().st_mode
        save_file(tensors, part, metadata={"format": "pt"})
        part.chmod(mode)  # safetensors shuts the group out, whatever the umask


def sha256(folder: Path | str) -> str:
    """sha256 of the weights file of a folder."""
    return files.sha256(Path(folder) / WEIGHTS_FILE)


def read(folder: Path | str) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors and config of a folder. Raises EncoderError: a file is absent, damaged, or larger than it can honestly be."""
    config = read_config(folder)
    return read_weights(Path(folder) / WEIGHTS_FILE), config


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of one file. Raises EncoderError: it is absent, damaged, or larger than it can honestly be."""
    _check_header(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise EncoderError(f"{path}: damaged weights file ({error}); fetch or export it again") from error


def read_config(folder: Path | str) -> dict:
    """config.json of a folder; at least the architecture is there.

    Raises:
        EncoderError: absent, oversized, not JSON, or without architecture.
    """
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise EncoderError(f"{folder}: wanted {CONFIG_FILE} and {WEIGHTS_FILE}, there is no {CONFIG_FILE}")
    config = read_json(path)
    if faults := _config_faults(config):
        raise EncoderError(f"{path}: {'; '.join(faults)}")
    return config


def read_json(path: Path) -> dict:
    """The JSON object of a small file. Raises EncoderError: it is larger, or no JSON object."""
    if (size := path.stat().st_size) > CONFIG_LIMIT:
        raise EncoderError(f"{path}: {size:,} bytes; a config has at most {CONFIG_LIMIT:,}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise EncoderError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise EncoderError(f"{path}: wanted a JSON object")
    return found


def _config_faults(config: dict) -> list[str]:
    arguments = config.get("model_args", {})
    channels = arguments.get("in_chans", 3) if isinstance(arguments, dict) else None
    sound = {
        "wanted 'architecture', the timm name of the network": isinstance(config.get("architecture"), str),
        "wanted 'model_args.in_chans' between 1 and 64": type(channels) is int and 1 <= channels <= 64,
        "wanted an object under 'pretrained_cfg'": isinstance(config.get("pretrained_cfg", {}), dict),
        "wanted an object under 'sslseg'": isinstance(config.get("sslseg", {}), dict),
    }
    return [sentence for sentence, fine in sound.items() if not fine]


def _check_header(path: Path) -> None:
    if not path.is_file():
        raise EncoderError(f"{path.parent}: wanted {path.name}, there is none")
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(LENGTH)
    length = int.from_bytes(head, "little")
    if len(head) < LENGTH or length > min(HEADER_LIMIT, size - LENGTH):
        raise EncoderError(
            f"{path}: not a safetensors file, or cut short (header of {length:,} bytes in a file of {size:,})"
        )
