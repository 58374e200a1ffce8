"""One digest for the weights of an encoder, whatever file they are kept in and however many channels they read."""

import hashlib
from collections.abc import Mapping

import torch

from sslseg.models import encoder


def sha256(state: Mapping[str, torch.Tensor], architecture: str) -> str:
    """sha256 of the matrices and kernels of `state` as float32, by name.

    Left out are the first convolutions, which an import sums to other channels, and vectors (biases, batch
    norm), which say little and are dropped by some formats.
    """
    without = {f"{name}.weight" for name in encoder.declared(architecture, "first_conv")}
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point() and tensor.ndim > 1 and name not in without:
            digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()
