"""Networks that are compiled for training, and evaluation mode for a while, and back."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator

import torch
from torch import nn

_compiled: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def compiled(modules: Iterable[nn.Module], backend: str) -> None:
    """Have networks compiled when they are called, in place: their tensors keep their names.

    One program for each shape of input: views have one. Dropout draws what it draws without the compiler.
    """
    options = {"options": {"fallback_random": True}} if backend == "inductor" else {}
    for module in modules:
        module.compile(backend=backend, dynamic=False, **options)
        _compiled.add(module)


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode and no autograd inside; each submodule's own mode is put back afterwards.

    Compiled networks run as they are written here: whole slices have many sizes, each of which would be compiled anew.
    """
    eager = any(module in _compiled for module in modules)
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        with (
            torch.inference_mode(),
            torch.compiler.set_stance("force_eager") if eager else contextlib.nullcontext(),
        ):
            yield
    finally:
        for part, mode in modes:
            part.training = mode
