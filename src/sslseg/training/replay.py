"""Forward and backward pass of a step as one CUDA graph: recorded once, then replayed without Python.

A step is hundreds of kernels of some microseconds each, which Python starts more slowly than the card ends them. A replay
starts them all at once: the same kernels in the same order, so that numbers are equal to the bit and nothing of it is in a
run's identity. `SSLSEG_REPLAY=off` leaves every step as it is written.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sslseg.config.names import SslsegError
from sslseg.models import modes

SWITCH = "SSLSEG_REPLAY"
WARM = 3  # calls as they are written, while libraries choose their algorithms and the compiler compiles [H]
aten = torch.ops.aten
# a number, or how many there are; numbers of Python, copied to the device
ASKS = (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.lift_fresh)
INDEXES = (aten.index, aten.index_put, aten.index_put_)  # by a mask: how many it leaves
Pass = Callable[[Any], tuple[Tensor, Mapping[str, Any]]]


class Witness(TorchDispatchMode):
    """Notes what cannot be recorded: a number is read from a device, or something is copied to or from it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """As torch asks it of a mode."""
        result = func(*args, **(kwargs or {}))
        places = {part.device.type for part in tensors((args, result)) if part.ndim}
        kind = func.overloadpacket
        masked = kind in INDEXES and any(index.dtype == torch.bool for index in tensors(args[1]))
        if kind in ASKS or masked or len(places) > 1:
            self.seen.append(str(func))
        return result


class Replayed:
    """A pass that computes gradients, replayed from its fourth call on where it can be recorded.

    Attributes:
        refused: why it cannot; "" until then, and where it can.
    """

    def __init__(self, plain: Pass, parameters: list[nn.Parameter], modules: Iterable[nn.Module]):
        """Take over a pass.

        Args:
            plain: batch on the device -> loss, detached, and metrics; leaves the gradients in `parameters`, and draws from
                torch's generators alone.
            modules: all that it may change, in place.
        """
        self._plain, self._parameters, self._modules, self._calls = plain, parameters, tuple(modules), 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self.refused = ""

    def __call__(self, batch: Any) -> tuple[Tensor, Mapping[str, Any]]:
        """As `plain`; metrics hold until the next call.

        Raises:
            SslsegError: it could not be recorded, though nothing spoke against it.
        """
        self._calls += 1
        if self._calls == WARM + 1:
            self.refused = self._why_not(batch)
        if self.refused or self._calls <= WARM:
            return self._plain(batch)
        graph = self._graph or self._record(batch)
        for held, given in zip(tensors(self._batch), tensors(batch), strict=True):
            held.copy_(given)
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        graph.replay()
        return self._loss.clone(), self._metrics

    def _why_not(self, batch: Any) -> str:
        """From one more pass, of which nothing stays: networks and generators are as before."""
        kept = [(t, t.clone()) for m in self._modules for t in (*m.parameters(), *m.buffers())]
        place = [self._parameters[0].device] if self._parameters[0].is_cuda else []
        with torch.random.fork_rng(devices=place), modes.as_written(*self._modules), Witness() as witness:
            self._plain(watched(batch, witness.seen))
        with torch.no_grad():
            for tensor, before in kept:
                tensor.copy_(before)
        for parameter in self._parameters:
            parameter.grad = None
        return ", ".join(dict.fromkeys(witness.seen))

    def _record(self, batch: Any) -> torch.cuda.CUDAGraph:
        """What is recorded is not computed. The thread that makes views goes on beside it."""
        self._batch = each(batch, lambda part: part.clone() if isinstance(part, Tensor) else part)
        torch.cuda.empty_cache()  # a graph has memory of its own: what the first steps took is not needed beside it
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._loss, self._metrics = self._plain(self._batch)
        except RuntimeError as error:
            raise SslsegError(
                f"a training step could not be recorded as a CUDA graph ({str(error).partition(chr(10))[0]}); "
                f"{SWITCH}=off in the environment trains without, from the last checkpoint on"
            ) from error
        self._graph, self._gradients = graph, [parameter.grad for parameter in self._parameters]
        return graph


def tensors(part: Any) -> Iterator[Tensor]:
    """Every tensor of a batch, in its order."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, tuple | list):
        for inner in part:
            yield from tensors(inner)


def each(part: Any, change: Callable[[Any], Any]) -> Any:
    """A batch with `change` of every part that is no tuple in that part's place."""
    if isinstance(part, tuple):
        inner = [each(one, change) for one in part]
        return type(part)(*inner) if hasattr(part, "_fields") else tuple(inner)
    return change(part)


def watched(batch: Any, seen: list[str]) -> Any:
    """The batch, whose numbers that are no tensors, such as the progress of the training, note that they were read."""

    def noting(name: str, value: object) -> property:
        def read(_: object) -> object:
            seen.append(f"batch.{name}")
            return value

        return property(read)

    fields = zip(batch._fields, batch, strict=True)
    plain = {n: noting(n, value) for n, value in fields if not isinstance(value, Tensor | tuple | None)}
    return type(type(batch).__name__, (type(batch),), plain)(*batch)
