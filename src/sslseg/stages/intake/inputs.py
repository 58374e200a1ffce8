"""What a training stage reads: the slice store, its splits and its normalisation.

Kept per process, so that a warm worker opens a store once however many stages it runs.
"""

from collections.abc import Mapping, Sequence

from sslseg.config import names, params
from sslseg.config.files import sha256_of
from sslseg.config.texts import some
from sslseg.data.training_set import Inputs
from sslseg.tracking import runs, session


def record(p: params.Reader, inputs: Inputs, run: session.Run) -> None:
    """Tag the data, what was read of them and the run that prepared them, and log them as an MLflow dataset."""
    digest, read = inputs.store.digest, sha256_of(inputs.store.parts)
    run.tags(
        {
            names.TAG_DATASET: p.dataset,
            names.TAG_DATA_DIGEST: digest,
            names.TAG_DATA_READ: read,
            names.MODEL_DOMAIN: inputs.store.domain,
        }
    )
    run.log({"cost/check_seconds": inputs.store.seconds})
    if run.stage == names.PREPARE or not run.parent:
        if inputs.store.skipped:
            tell_skipped(inputs.store.skipped)
        if inputs.store.notes:
            print(f"warning: {assumed([one['note'] for one in inputs.store.notes])}")
    made_by = {names.TAG_STAGE: names.PREPARE, names.TAG_DATA_DIGEST: digest}
    if prepared := session.search(made_by, run.experiment_id, status="FINISHED"):
        run.tag(names.TAG_PREPARE_RUN, prepared[0].info.run_id)
    run.input_dataset(p.dataset, digest[: runs.DIGEST], str(inputs.store.path), run.stage)


def tell_skipped(skipped: Sequence[Mapping[str, str]]) -> None:
    """Say what on_bad_file=skip has left out: the first few files, each with its reason."""
    reasons = some((s["reason"] for s in skipped), 3, "\n  ")
    print(f"warning: {len(skipped)} files were left out, on_bad_file=skip:\n  {reasons}")


def assumed(notes: Sequence[str]) -> str:
    """What had to be assumed of files: the first few sentences."""
    return f"of {len(notes)} files something had to be assumed:\n  " + some(notes, 3, "\n  ")
