"""The encoder that a pipeline's sentence means: the newest one in the store that came that way."""

from sslseg.config import names
from sslseg.config.names import EncoderError, ParamError
from sslseg.plans import pipelines
from sslseg.tracking import lineage
from sslseg.tracking.history import frames

MAKERS = (names.IMPORT, names.PRETRAIN, names.FINETUNE)  # stages that leave an encoder


def newest(sentence: str, dataset: str) -> str:
    """Run ID of the newest FINISHED run whose encoder has the lineage that a sentence says.

    Args:
        sentence: see `pipelines`; `scratch` is itself.
        dataset: what `target` means.

    Raises:
        ParamError: it is no sentence.
        EncoderError: there is no such encoder.
    """
    wanted = pipelines.parse(sentence)
    if wanted.variants:
        raise ParamError(
            f"{sentence}: {wanted.variants[0]} says how a fine-tuning is done, and an encoder is wanted here; leave it "
            f"out, and give {' '.join(f'{k}={v}' for k, v in wanted.knobs.items())} to the fine-tuning"
        )
    if not wanted.hops:
        return names.SCRATCH
    runs = frames.runs()
    last = runs[
        runs["stage"].isin(MAKERS) & runs["lineage"].map(lambda text: _hows(text) == _hows_of(wanted))
    ]
    for run_id in last["run_id"][::-1]:
        hops = [lineage.facts(hop) for hop in lineage.of_model(run_id)]
        if pipelines.fits(wanted, hops, dataset):
            return run_id
    raise EncoderError(
        f"{sentence}: no encoder in the store has come that way; "
        f"mlflow run . -e sweep --env-manager local -P pipelines={sentence} … makes one"
    )


def _hows(lineage_tag: str) -> list[str]:
    return [pipelines.split(hop).hops[-1].how for hop, _ in pipelines.read(lineage_tag)]


def _hows_of(wanted: pipelines.Pipeline) -> list[str]:
    return [hop.how for hop in wanted.hops]
