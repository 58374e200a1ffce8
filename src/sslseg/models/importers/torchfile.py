"""Files of torch.save, both of their containers, and of torch.jit.save, read by `unpickle.py` and never unpickled.

Of a TorchScript program the tensors are read, and no code. Sizes are held against the size of the file before anything
is allocated.
"""

import io
import mmap
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from sslseg.config.names import EncoderError
from sslseg.models.importers import kinds
from sslseg.models.importers.storages import RefusedError, Storages
from sslseg.models.importers.unpickle import LONG, PICKLE_LIMIT, HostileError, Machine

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
LEGACY_PROTOCOL = 1001  # ibid., PROTOCOL_VERSION
# What a program or container that is not what it says can lead to. Warning: strange escapes in names.
DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, EOFError, OSError,
    Warning, struct.error, zipfile.BadZipFile,
)  # fmt: skip
MESSAGE = 500  # characters: names inside a file may be of any length


def read(path: Path | str) -> Any:
    """The content of such a file: dicts, lists, tuples, scalars, tensors on the CPU, `Foreign`s.

    Raises:
        EncoderError: absent, damaged, larger inside than outside, or not written by torch.save.
    """
    path = Path(path)
    if not path.is_file():
        raise EncoderError(f"{path}: wanted a checkpoint file, there is none")
    try:
        with open(path, "rb") as file:
            if zipfile.is_zipfile(file):
                return _read_zip(file)
            file.seek(0)
            if file.read(4) == b"PK\x03\x04":
                raise RefusedError("its end is missing; fetch it again")
            # A map never reads past its end; a file would set aside whatever length a program declares.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read_legacy(content)
    except HostileError as hostile:
        raise EncoderError(
            f"{path}: a hostile pickle, not a checkpoint: whoever opens it with torch.load or pickle has it call "
            f"{hostile}. Nothing of it was run here; keep it away from other programs"[:MESSAGE]
        ) from None
    except RefusedError as refused:
        raise EncoderError(f"{path}: not a plain checkpoint of torch.save: {refused}"[:MESSAGE]) from None
    except DAMAGE as error:
        raise EncoderError(
            f"{path}: damaged, or not a checkpoint of torch.save ({error})"[:MESSAGE]
        ) from error


def _flat(dtype: torch.dtype, buffer: bytearray) -> torch.Tensor:
    return torch.frombuffer(buffer, dtype=dtype) if buffer else torch.empty(0, dtype=dtype)


def _read_zip(file: BinaryIO) -> Any:
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        programs = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if not programs:
            raise RefusedError(
                kinds.named(entries) or f"a zip archive ({', '.join(entries)}); unpack it first"
            )
        if len(programs) > 1:
            raise RefusedError(f"{len(programs)} programs data.pkl instead of one")
        root = programs[0].removesuffix("data.pkl")
        # TorchScript packs its code
        read = [e for name, e in entries.items() if not name.startswith(f"{root}code/")]
        if any(e.compress_type != zipfile.ZIP_STORED for e in read) or sum(e.file_size for e in read) > size:
            raise RefusedError("compressed or overlapping entries")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise RefusedError("big-endian numbers")

        def allocate(key: str, dtype: torch.dtype, numel: int) -> torch.Tensor:
            entry = entries[f"{root}data/{key}"]
            if entry.file_size != numel * dtype.itemsize:
                raise RefusedError(
                    f"storage {key} of {entry.file_size} bytes, declared with {numel} elements"
                )
            return _flat(dtype, bytearray(archive.read(entry)))

        if entries[programs[0]].file_size > PICKLE_LIMIT:
            raise RefusedError(LONG)
        return Machine(Storages(allocate, size)).run(io.BytesIO(archive.read(programs[0])))


def _read_legacy(file: mmap.mmap) -> Any:
    """Until torch 1.5: magic, protocol, system, content, keys (five pickles), then the storages."""
    left = size = len(file)
    buffers: dict[str, tuple[bytearray, int]] = {}

    def allocate(key: str, dtype: torch.dtype, numel: int) -> torch.Tensor:
        nonlocal left
        left -= numel * dtype.itemsize
        if left < 0:
            raise RefusedError(f"storage {key} with {numel} elements in a file of {size} bytes")
        buffers[key] = (bytearray(numel * dtype.itemsize), numel)
        return _flat(dtype, buffers[key][0])

    storages, pickles = Storages(allocate, size), cast(BinaryIO, file)  # it reads as one
    if Machine(storages).run(pickles) != LEGACY_MAGIC or Machine(storages).run(pickles) != LEGACY_PROTOCOL:
        raise RefusedError(
            "a plain pickle. If it holds a network's weights, then where it is trusted: "
            "torch.save({name: torch.as_tensor(array), …}) of what pickle.load gives"
        )
    if not Machine(storages).run(pickles).get("little_endian", True):
        raise RefusedError("big-endian numbers")
    content = Machine(storages).run(pickles)
    for key in Machine(storages).run(pickles):
        buffer, numel = buffers.pop(key)
        declared = int.from_bytes(file.read(8), "little")
        if declared != numel or len(buffer) > size - file.tell():
            raise RefusedError(f"storage {key} with {declared} elements instead of {numel}, or cut short")
        buffer[:] = file.read(len(buffer))
    if buffers:
        raise RefusedError(f"{len(buffers)} tensors without data")
    return content
