"""Versions of registered models: their names, their aliases, and making one."""

import hashlib
import json
import re

from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.config.names import KIND_ENCODER, KIND_SEGMENTER, EncoderError
from sslseg.tracking import store
from sslseg.tracking.runs import Run

VERSIONS = "mlflow.modelVersions"  # MLflow's own tag on a logged model; only its fluent API writes it
ALIAS = 250  # characters, MLflow takes 255
TEXT_LIMIT = 5000  # MLflow's column for descriptions; the whole card is an artifact
DESCRIPTIONS = {
    KIND_ENCODER: "Encoders: timm `local-dir` folders. Open one with "
    '`timm.create_model("local-dir:<folder>", pretrained=True)`.',
    KIND_SEGMENTER: "U-Nets, fine-tuned: whole network and normalisation. Use one with `-e predict`.",
}


def check_name(name: str) -> None:
    """Raises EncoderError of a name that cannot be part of addresses (models:/name/1) and searches: they know no escape."""
    if not re.fullmatch(r"[\w .+-]{1,250}", name):
        raise EncoderError(
            f"name: wanted letters, digits, spaces and . _ + - (at most 250) for a registered model, got {name[:60]!r}"
        )


def enter(
    run: Run, model_id: str, name: str, kind: str, shown: dict[str, str], card: str, alias: str
) -> None:
    """Make a version of a logged model, and let an alias point to it; nothing where its run has done so before.

    Args:
        shown: tags of the version.
        alias: '' = none.
    """
    api = run.client
    run.check()
    with store.lock(run.uri, "register"):  # MLflow counts versions up and gives way three times only
        try:
            there = api.get_registered_model(name)
        except MlflowException:
            tags = {names.MODEL_KIND: kind}
            there = api.create_registered_model(name, tags=tags, description=DESCRIPTIONS[kind])
        before = there.aliases.get(alias, "")
        source = f"models:/{model_id}"
        own = api.search_model_versions(f"name = '{name}' and run_id = '{run.id}'")
        made = [v.version for v in own if v.source == source]  # by this run, before it was interrupted
        version = made[0] if made else api.create_model_version(  # whose files are there: nothing to wait for
                name, source, run.id, tags=shown, description=card[:TEXT_LIMIT], model_id=model_id,
                await_creation_for=0
            ).version  # fmt: skip
        if alias:
            api.set_registered_model_alias(name, alias, version)
        if before and (other := _of_other_data(run, name, before)):
            print(
                f"warning: models:/{name}@{alias} is version {version} now; it was version {before}, of run {other}, "
                f"which read other data or prepared them otherwise: models:/{name}/{before} names it still"
            )
        # what the UI shows beside the model, and all that is left when the version is deleted; written last,
        # since it says that there is nothing left to do
        mark = {VERSIONS: json.dumps([{"name": name, "version": str(version)}])}
        api.set_logged_model_tags(model_id, mark)


def _of_other_data(run: Run, name: str, version: str) -> str:
    """Run ID of a version that was trained on other data than this run's; '' = on the same, or nobody knows."""
    try:
        before = run.client.get_model_version(name, version).run_id or ""
        digests = [run.client.get_run(one).data.tags.get(names.TAG_DATA_DIGEST) for one in (before, run.id)]
    except MlflowException as error:  # deleted since
        store.only_gone(error)
        return ""
    return before if all(digests) and len(set(digests)) > 1 else ""


def alias_of(text: str) -> str:
    """An alias for a lineage or pipeline: MLflow refuses + > @ and spaces, so + and > become `--`.

    The epoch of the last stage is left out: the alias means the pipeline, its newest model.
    """
    text = re.sub(r"[:@]\d+$", "", text.strip())
    text = re.sub(r"\s*[+>]\s*", "--", text)
    text = re.sub(r"[^\w-]+", "-", text).strip("-") or "unknown"
    if len(text) > ALIAS:
        text = f"{text[: ALIAS - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    reserved = text.lower() == "latest" or re.fullmatch(r"v\d+", text, re.IGNORECASE)
    return f"{text}-" if reserved else text
