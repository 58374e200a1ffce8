"""What a file is that is no checkpoint, in a few words: told by its first bytes, never by its name."""

from __future__ import annotations

import re
from pathlib import Path

from sslseg.config.names import EncoderError

HEAD = 1024  # bytes that are looked at
AGAIN = "download the file itself, not the page that offers it"
ARCHIVES = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "RAR", b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
# first bytes -> what it is
KINDS = {
    rb"version https://git-lfs\.github\.com/spec": "a Git LFS pointer, not the weights: `git lfs pull` fetches them",
    rb"\.{0,2}/.*annex/objects/": "a git-annex pointer, not the weights: `git annex get` fetches them",
    rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script|!--)": f"a web page (HTML); {AGAIN}",
    rb"(\xef\xbb\xbf)?\s*<(\?xml|error)": f"an XML document, often a server's error message; {AGAIN}",
    rb"\s*\{\s*\"": f"a JSON text; a config.json goes beside its weights, and then the folder is the source; or {AGAIN}",
    rb"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras or TensorFlow); convert it to a PyTorch state dict first",
    rb"\x93NUMPY": "an array of NumPy, without the names of a network's tensors",
    rb"GGUF": "a GGUF file of quantised weights",
    rb"%PDF": "a PDF",
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture",
}
LFS_SIZE = re.compile(rb"^size (\d+)", re.MULTILINE)
# ModelProto: field 1 (ir_version, a small number), then producer_name (2), opset_import (8) or graph (7)
ONNX = re.compile(rb"\x08[\x01-\x20](\x12.[\w .-]{2,}|\x42.\x0a?|\x3a)", re.DOTALL)


def refuse(path: Path) -> None:
    """Name what a file is instead of a checkpoint; silent for everything that may be one.

    Raises:
        EncoderError: a pointer, a page, a graph, an archive … under a checkpoint's name.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if said := of(head):
        raise EncoderError(f"{path}: {said}")


def of(head: bytes) -> str:
    """What the first bytes say; "" for what may be a checkpoint."""
    if not head:
        return "an empty file: fetch it again"
    for start, kind in ARCHIVES.items():
        if head.startswith(start):
            return f"a compressed file ({kind}): unpack it first"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    for pattern, kind in KINDS.items():
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            size = LFS_SIZE.search(head) if "LFS" in kind else None
            return kind + (f" ({int(size[1]):,} bytes)" if size else "")
    if ONNX.match(head):
        return "an ONNX graph, which has forgotten the names of the network's tensors; export the state dict it was made of"
    return ""


def is_safetensors(path: Path) -> bool:
    """Whether the content is safetensors', whatever the name: a length, and then a JSON object."""
    with open(path, "rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and length <= path.stat().st_size - 8
