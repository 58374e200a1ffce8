"""What an encoder is worth, in a minute and without a fine-tuning. Test is never read."""

from collections.abc import Sequence

from torch import nn

from sslseg.config import names
from sslseg.config.commands import kept
from sslseg.config.names import DataError, EncoderError
from sslseg.config.params import Finetune, Probe
from sslseg.models import encoder as encoders
from sslseg.stages.intake import leaks, upstream
from sslseg.stages.intake.upstream import fill  # noqa: F401 fill is a hook of `launch`
from sslseg.stages.outcome import endings
from sslseg.stages.probe import features
from sslseg.tracking import lineage, session
from sslseg.tracking.registry import resolve
from sslseg.training import devices


def run(p: Probe, run: session.Run) -> None:
    """Log and print the numbers of the encoder's frozen features.

    Raises:
        EncoderError: none given, or see `upstream.fetch`.
        DataError: val has no slices to look at.
    """
    start = upstream.begin(p, run)
    start.enter()
    model, data = start.source.resolved, start.data
    leaks.gate(run, model, data, allow=True)
    hops = lineage.walk(model.run_id, model_id=model.model_id) if model else []
    run.tags({names.TAG_LINEAGE: lineage.text(hops), names.TAG_PIPELINE: lineage.pipeline(hops, p.dataset)})
    device, parent = devices.of(p), _parent(p, hops, data.store.channels)
    found = features.measure(
        start.network().to(device), p, data, parent.to(device) if parent else None, run.beat
    )
    if not found:
        raise DataError(
            f"{p.data_root or p.dataset}: wanted two val slices to look at, got {len(data.rows['val'])}; patients without any "
            "mask all train"
        )
    run.log(found)
    endings.tell(
        *(f"{name}: {value:.4f}" for name, value in found.items()),
        f"metrics of run {run.id}; docs/how-to/probe.md says what each means",
    )
    endings.following(names.FINETUNE, encoder=p.encoder, **kept(p, Finetune))


def _parent(p: Probe, hops: Sequence[lineage.Hop], channels: int) -> nn.Module | None:
    """The encoder that this one was trained from; None of random or imported weights, or where it is gone."""
    if len(hops) < 2 or not hops[-2].model_id:
        return None
    try:
        found = resolve.resolve(f"models:/{hops[-2].model_id}", cache=p.cache)
    except EncoderError as error:
        print(f"warning: not compared with its parent: {error}")
        return None
    return encoders.from_state(*encoders.adapt(*encoders.read_state(found.path), channels))
