"""Encoders and segmenters in the model registry: what stages ask of it, `write` and `references` included."""

from dataclasses import dataclass
from pathlib import Path

from sslseg.config import names
from sslseg.config.files import known_sha256
from sslseg.config.names import KIND_ENCODER, WEIGHTS_FILE, EncoderError
from sslseg.config.texts import whole
from sslseg.tracking import store
from sslseg.tracking.registry import files, flavor, logged, references
from sslseg.tracking.registry.files import read_config
from sslseg.tracking.registry.references import Wanted
from sslseg.tracking.registry.register import alias_of as alias_of
from sslseg.tracking.registry.write import log_encoder as log_encoder
from sslseg.tracking.registry.write import log_model as log_model
from sslseg.tracking.registry.write import log_segmenter as log_segmenter


@dataclass(frozen=True)
class Resolved:
    """A stored model whose files are on this machine and whose weights match their digest."""

    model_id: str
    run_id: str
    path: Path  # read-only: on a local store this is the stored model itself
    tags: dict[str, str]
    sha256: str
    name: str = ""  # in the registry; '' when it was named otherwise
    version: str = ""

    @property
    def upstream_tags(self) -> dict[str, str]:
        """What a run that starts from it has to say of it."""
        return {names.TAG_UPSTREAM_RUN: self.run_id, names.TAG_UPSTREAM_MODEL: self.model_id,
                names.TAG_UPSTREAM_SHA: self.sha256}  # fmt: skip

    @property
    def kind(self) -> str:
        """`encoder` or `segmenter`."""
        return self.tags.get(names.MODEL_KIND, "")

    @property
    def role(self) -> str:
        """Which network of its run it is."""
        return self.tags.get(names.MODEL_ROLE, "")

    @property
    def epoch(self) -> int | None:
        """Epoch of the pretraining; None where none is recorded."""
        return whole(self.tags.get(names.MODEL_EPOCH))


def resolve(
    reference: str,
    role: str = names.ROLE_TARGET,
    epoch: int | None = None,
    kind: str = KIND_ENCODER,
    *,
    cache: str | Path = "",
    uri: str | None = None,
) -> Resolved:
    """The model that `reference` means, its files on this machine, its digest checked.

    On a local store `path` is the stored model in place. From a server it is downloaded once into
    `cache`/models.

    Args:
        reference: see `references`.
        role: "target" = the network that the run hands on: target, imported, fine-tuned or online, the
            first of these that there is.
        epoch: None = the last one kept.

    Raises:
        EncoderError: unknown, failed, deleted, ambiguous, missing or damaged; each names the run.
    """
    uri = store.ensure_store(uri)
    model, version = references.find(reference, Wanted(role, epoch, kind), uri)
    context = f"run {model.source_run_id}"
    path = files.folder(model, cache, uri)
    flavor.check(path, kind, context)
    wanted, actual = model.tags.get(names.MODEL_SHA, ""), known_sha256(path / WEIGHTS_FILE)
    if wanted != actual:
        raise EncoderError(
            f"{context}: {path / WEIGHTS_FILE} was changed after it was logged: "
            f"expected sha256 {wanted or '(no tag)'}, actual {actual}"
        )
    registered = (version.name, str(version.version)) if version else ("", "")
    return Resolved(model.model_id, model.source_run_id or "", path, dict(model.tags), actual, *registered)


def normalisation(resolved: Resolved | None) -> dict | None:
    """The normalisation (`mean`, `std` …) that an encoder was trained under; None for scratch."""
    return read_config(resolved.path).get("pretrained_cfg") if resolved else None


def versions(kind: str = KIND_ENCODER, uri: str | None = None) -> list[dict[str, str]]:
    """Every registered model of `kind`, newest first: name, version, aliases, run_id, model_id, its tags.

    Kind, run and tags are those of the logged model, whatever a person has registered it as; where it was deleted, the
    few that its version has.
    """
    api = store.client(uri)
    registered = {found.name: found for found in api.search_registered_models()}
    models = {model.model_id: model for model in logged.every(uri)}
    rows = []
    for version in sorted(api.search_model_versions(), key=lambda v: (v.name, -int(v.version))):
        above, model_id = registered[version.name], logged.model_id_of(version, uri)
        model = models.get(model_id)
        tags = model.tags if model else above.tags | version.tags
        if tags.get(names.MODEL_KIND) == kind:
            aliases = sorted(a for a, number in above.aliases.items() if str(number) == str(version.version))
            run_id = model.source_run_id if model else version.run_id
            rows.append(
                {"name": version.name, "version": str(version.version), "run_id": run_id or "", "model_id": model_id,
                 "aliases": ", ".join(aliases), **tags}
            )  # fmt: skip
    return rows
