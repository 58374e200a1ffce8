"""Networks that are compiled for training or made to be filled, and evaluation mode for a while, and back."""

import contextlib
import weakref
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

_compiled: weakref.WeakSet[nn.Module] = weakref.WeakSet()


def compiled(modules: Iterable[nn.Module], backend: str) -> None:
    """Have networks compiled when they are called, in place: their tensors keep their names.

    One program for each shape of input: views have one. Dropout draws what it draws without the compiler.
    """
    options = {"options": {"fallback_random": True}} if backend == "inductor" else {}
    for module in modules:
        module.compile(backend=backend, dynamic=False, **options)
        _compiled.add(module)


class Unfilled(TorchFunctionMode):
    """Networks that are made inside are going to be filled, so nothing is drawn for them: a load takes an eighth of the time."""

    DRAWS = {
        Tensor.normal_,
        Tensor.uniform_,
        Tensor.erfinv_,
        init.normal_,
        init.uniform_,
        init.kaiming_uniform_,
    }

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """As torch asks it of a mode."""
        return args[0] if args and func in self.DRAWS else func(*args, **(kwargs or {}))


def as_written(*modules: nn.Module) -> contextlib.AbstractContextManager[object]:
    """Compiled networks run uncompiled inside."""
    compiled_ones = any(module in _compiled for module in modules)
    return torch.compiler.set_stance("force_eager") if compiled_ones else contextlib.nullcontext()


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode and no autograd inside; each submodule's own mode is put back afterwards.

    Compiled networks run as they are written here: whole slices have many sizes, each of which would be compiled anew.
    """
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        with torch.inference_mode(), as_written(*modules):
            yield
    finally:
        for part, mode in modes:
            part.training = mode
