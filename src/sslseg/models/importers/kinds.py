"""What a file is that no encoder can be taken from, in a few words.

Told by its first bytes, by its name only where a file has no sign of its own, and by the names of its tensors.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from sslseg.config.names import EncoderError

HEAD = 1024  # bytes that are looked at
AGAIN = "download the file itself, not the page that offers it"
TENSORFLOW = (
    "what this project reads is PyTorch's. Where TensorFlow is at home: read the variables (tf.train.load_checkpoint, or "
    "model.get_weights()), turn kernels of convolutions by np.transpose(kernel, (3, 2, 0, 1)), and torch.save them as tensors "
    "in a dict by the names of timm's network"
)
DETECTRON2 = (
    "weights of Detectron2. Its published ResNets stride in their 1x1 convolutions and read BGR of 0 to 255, which no network "
    "of timm does. Only those trained with MODEL.RESNETS.STRIDE_IN_1X1 False can be used: torch.save their tensors by "
    "torchvision's names (stem.conv1 -> conv1, stem.conv1.norm -> bn1, res2 to res5 -> layer1 to layer4, conv1.norm -> bn1, "
    "shortcut -> downsample.0, shortcut.norm -> downsample.1)"
)
UNET = "'s U-Net: its encoder is no network of timm, and U-Nets here are built around those; it cannot be imported"
COMPRESSED = {
    "gzip": rb"\x1f\x8b", "bzip2": b"BZh", "xz": rb"\xfd7zXZ", "7z": rb"7z\xbc\xaf", "RAR": b"Rar!", "zstd": rb"\x28\xb5\x2f\xfd",
}  # fmt: skip
# first bytes -> what it is
KINDS = {
    rb"\Z": "an empty file: fetch it again",
    **{start: f"a compressed file ({kind}): unpack it first" for kind, start in COMPRESSED.items()},
    rb".{257}ustar": "a tar archive: unpack it first",
    rb"version https://git-lfs\.github\.com/spec(.*\nsize (?P<bytes>\d+))?":
        "a Git LFS pointer, not the weights: `git lfs pull` fetches them",
    rb"\.{0,2}/.*annex/objects/": "a git-annex pointer, not the weights: `git annex get` fetches them",
    rb"(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body|script|!--)": f"a web page (HTML); {AGAIN}",
    rb"(\xef\xbb\xbf)?\s*<(\?xml|error)": f"an XML document, often a server's error message; {AGAIN}",
    rb"\s*\{\s*\"": f"a JSON text; a config.json goes beside its weights, and then the folder is the source; or {AGAIN}",
    rb"\x89HDF\r\n\x1a\n": f"an HDF5 file (Keras or TensorFlow); {TENSORFLOW}",
    rb"....TFL3": f"a TensorFlow Lite file, whose batch norms are folded into its convolutions; {TENSORFLOW}",
    rb"model_checkpoint_path:": f"TensorFlow's list of checkpoints; {TENSORFLOW}",
    rb"\x80[\x02-\x05].{0,60}(model|blobs).{0,90}(backbone\.|stem\.conv1|res[2-5]|conv1_w|fpn|proposal_generator)": DETECTRON2,
    rb"\x93NUMPY": "an array of NumPy, without the names of a network's tensors",
    rb"GGUF": "a GGUF file of quantised weights",
    rb"%PDF": "a PDF",
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture",
    # ModelProto: field 1 (ir_version, a small number), then producer_name (2), opset_import (8) or graph (7)
    rb"(?-i:\x08[\x01-\x20](\x12.[\w .-]{2,}|\x42.\x0a?|\x3a))":
        "an ONNX graph, which has forgotten the names of the network's tensors; export the state dict it was made of",
}  # fmt: skip
# name -> what a file is whose bytes have no sign, in a folder or a zip where there are no weights too
NAMES = {
    r"saved_model\.pb": f"a SavedModel of TensorFlow; {TENSORFLOW}",
    r".*\.(pb|pbtxt)": f"a graph of TensorFlow; {TENSORFLOW}",
    r".*\.(index|meta|data-\d+-of-\d+)": f"a part of a checkpoint of TensorFlow; {TENSORFLOW}",
    r".*\.h5": f"a Keras file; {TENSORFLOW}",
    r".*\.msgpack":
        "weights of Flax; transformers' from_pretrained(…, from_flax=True) and save_pretrained make PyTorch's of them",
    r".*\.npy": "arrays of NumPy (.npz); save them as tensors in a dict by the network's names",
    r"archive_format|serialized_exported_program\.json":
        "a program of torch.export; save the state_dict of the module it was made of",
    r"\.metadata|.*\.distcp":
        "a checkpoint of torch.distributed in shards; `python -m torch.distributed.checkpoint.format_utils dcp_to_torch` makes "
        "one file of it",
}  # fmt: skip
SIGNED = (b"PK", b"\x80")  # a zip, a pickle
# names of tensors -> whose network it is that timm has not, or has otherwise
STRANGERS = {
    r"_flat_param": "FSDP's flattened shards; save a full state dict (StateDictType.FULL_STATE_DICT)",
    r"\bres[2-5]\.\d+\.conv\d\.norm\.|\bstem\.conv1\.norm\.": DETECTRON2,
    r"\bseg_layers\.\d|\bconv_blocks_context\.|\.all_modules\.\d": f"nnU-Net{UNET}",
    r"\bconv\.unit\d\.|\b(conv_0\.conv_0|input_block\.conv1|convInit\.conv|swinViT|vit\.patch_embedding)\.": f"MONAI{UNET}",
    r"\binc\.(double_)?conv\.": f"Pytorch-UNet{UNET}",
    r"\bdownsample\.0\.bias$":
        "a ResNet whose shortcuts' convolutions have a bias, as MONAI builds them by default; timm's have none. One that is "
        "built with bias_downsample=False and conv1_t_stride=2, as torchvision's, can be imported",
    # torch's names for a weight that is computed
    r"(?<!last_layer)\.(weight_(g|v|orig|mask|u)|parametrizations\.\w+\.original\d?)$":
        "some of its weights are kept in factors, as by weight norm, spectral norm or pruning; make plain weights of them where "
        "its code is at home (torch.nn.utils.parametrize.remove_parametrizations, prune.remove)",
}  # fmt: skip


def refuse(path: Path) -> None:
    """Name what a file is instead of a checkpoint; silent for everything that may be one.

    Raises:
        EncoderError: a pointer, a page, a graph, an archive … under a checkpoint's name.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if said := of(head) or ("" if head.startswith(SIGNED) or is_safetensors(path) else named([path.name])):
        raise EncoderError(f"{path}: {said}")


def named(names: Iterable[str]) -> str:
    """What the names of files say, without their folders; "" where none of them says anything."""
    last = [name.rpartition("/")[2] for name in names]
    return next((kind for sign, kind in NAMES.items() if any(re.fullmatch(sign, n) for n in last)), "")


def stranger(tensors: Mapping[str, torch.Tensor]) -> str:
    """Whose network no encoder of timm can be made of, and why; "" for one that may be."""
    for sign, kind in STRANGERS.items():
        if found := next((name for name in tensors if re.search(sign, name)), ""):
            what, end, why = re.split("([,.:;])", kind, maxsplit=1)
            return f"{what} ({found}){end}{why}"
    if solid := next((f"{name} {list(t.shape)}" for name, t in tensors.items() if t.ndim == 5), ""):
        return f"the weights of a 3D network ({solid}); wanted one that reads slices, which has kernels of two sides"
    if not any(tensor.numel() for tensor in tensors.values()):
        return "all its tensors are empty, as DeepSpeed's ZeRO-3 leaves them; zero_to_fp32.py makes one file of them"
    return ""


def of(head: bytes) -> str:
    """What the first bytes say; "" for what may be a checkpoint."""
    for sign, kind in KINDS.items():
        if match := re.match(sign, head, re.IGNORECASE | re.DOTALL):
            size = match.groupdict().get("bytes")
            return kind + (f" ({int(size):,} bytes)" if size else "")
    return ""


def is_safetensors(path: Path) -> bool:
    """Whether the content is safetensors', whatever the name: a length, and then a JSON object."""
    with open(path, "rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return len(head) == 9 and head[8:] == b"{" and length <= path.stat().st_size - 8
