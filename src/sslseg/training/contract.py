"""What a method of pretraining offers, and what holds for one that leaves a part out.

`modules` and `loss` are all that every method has. One that keeps a copy which follows, hands on another network than it
trains or trains only a part says so with `DEFAULT_ROLE`, `exports`, `trainable`, `after_step` or `DECODER`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from sslseg.config.names import ROLE_ONLINE, ROLE_TARGET
from sslseg.config.wanted import Wanted
from sslseg.data.views.batches import PretrainBatch
from sslseg.models.encoder import Encoder

Batch = PretrainBatch[Tensor]
# a callable is what is too dear to compute at every step
Metrics = Mapping[str, float | Tensor | Callable[[], float | Tensor]]


class Method(Protocol):
    """A method around its encoder.

    Attributes:
        modules: name -> all that has weights or buffers: `online`, the encoder that learns, and what is beside it.
    """

    modules: dict[str, nn.Module]

    def __init__(self, encoder: Encoder, p: Any, *, seed: int): ...

    @staticmethod
    def wanted(p: Any) -> Wanted:
        """What the loss gets to see; `p` of the class `Params` beside the method."""
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, Metrics]:
        """What is minimised.

        Args:
            batch: what `wanted` asks for: views [B,C,S,S] in its order, boxes, places.

        Returns:
            a scalar; and metrics, among them signs of life of the features (`vitals.of_batch`). The loop adds "train/" to
            their names.
        """
        ...


def role(method: Method) -> str:
    """Which of the `exports` a later stage starts from: the encoder that learns."""
    return getattr(method, "DEFAULT_ROLE", ROLE_ONLINE)


def exports(method: Method) -> dict[str, nn.Module]:
    """Role -> encoder: the one that learns, and the one that follows it, where there is one; first that of `role`."""
    if own := getattr(method, "exports", None):
        return own()
    known = {role(method): None, ROLE_ONLINE: None, ROLE_TARGET: None}
    return {name: method.modules[name] for name in known if name in method.modules}


def trainable(method: Method) -> list[tuple[str, nn.Parameter]]:
    """(name, parameter) of all that the optimiser moves: what requires a gradient."""
    if own := getattr(method, "trainable", None):
        return own()
    named = [(f"{part}.{n}", p) for part, net in method.modules.items() for n, p in net.named_parameters()]
    return [(name, parameter) for name, parameter in named if parameter.requires_grad]


def after_step(method: Method, progress: float) -> Metrics:
    """What is left to do after the optimiser's step, 0 being the first and 1 the last: nothing."""
    own = getattr(method, "after_step", None)
    return own(progress) if own else {}


def decoder(method: Method) -> nn.Module | None:
    """The decoder that is handed on beside the encoder; none, unless `DECODER` says so."""
    return method.modules["decoder"] if getattr(method, "DECODER", False) else None
