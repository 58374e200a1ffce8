"""The files of a logged model: in place where they are on this machine, else downloaded."""

import shutil
import tempfile
from pathlib import Path

from filelock import FileLock
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException

from sslseg.config import caches
from sslseg.config.files import aside, known_sha256, read_json
from sslseg.config.names import CONFIG_FILE, WEIGHTS_FILE, EncoderError
from sslseg.tracking import store
from sslseg.tracking.client import retry


def folder(model: LoggedModel, cache: str | Path = "", uri: str | None = None) -> Path:
    """The files of `model` (an MLflow LoggedModel), to be read: on a local store the stored ones themselves.

    From a server they are downloaded once into `cache`/models.

    Raises:
        EncoderError: they are not there, or cannot be downloaded; names the run.
    """
    context = f"run {model.source_run_id}"
    if path := store.local_path(model.artifact_location):
        if not path.is_dir():
            raise EncoderError(
                f"{context}: missing artifact, there is no folder {path} for {model.model_id}; out of an archive of "
                "`sslseg pack --public` come numbers alone"
            )
        return path
    kept = caches.cache_folder(str(cache)) / "models"
    kept.mkdir(parents=True, exist_ok=True)
    path = kept / model.model_id
    with FileLock(f"{path}.lock"):
        if not path.is_dir():
            _keep(model, path, uri)
    return path


def lacks(artifacts: str, name: str = "") -> bool:
    """Whether artifacts that should be on this machine, or a file of them, are not there."""
    place = store.local_path(artifacts)
    return place is not None and not (place / name).exists()


def weights_sha(model: LoggedModel, cache: str | Path, uri: str | None = None) -> str:
    """sha256 of the weights that a stage on this machine reads; see `folder`.

    Raises:
        EncoderError: there are none.
    """
    return _hashed(folder(model, cache, uri) / WEIGHTS_FILE, model)


def stored_sha(model: LoggedModel, name: str = WEIGHTS_FILE, uri: str | None = None) -> str:
    """sha256 of a file of `model` as the store has it now: a copy that was downloaded before says nothing of it.

    Raises:
        EncoderError: it is not there, or cannot be downloaded.
    """
    if place := store.local_path(model.artifact_location):
        return _hashed(place / name, model)
    with tempfile.TemporaryDirectory(prefix="sslseg-") as scratch:
        return _hashed(_download(model, name, Path(scratch), uri), model)


def _hashed(file: Path, model: LoggedModel) -> str:
    try:
        return known_sha256(file)
    except OSError as error:
        raise EncoderError(
            f"run {model.source_run_id}: missing artifact, {file} cannot be read: {error.strerror}"
        ) from None


def _keep(model: LoggedModel, path: Path, uri: str | None) -> None:
    """Download into `path`, which is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, aside(path, alone=True) as part:
        shutil.copytree(_download(model, "", Path(scratch), uri), part)


def _download(model: LoggedModel, name: str, scratch: Path, uri: str | None) -> Path:
    from mlflow.artifacts import download_artifacts

    place = f"{model.artifact_location}/{name}" if name else model.artifact_location
    uri = store.tracking_uri(uri)
    try:
        got = retry(download_artifacts, artifact_uri=place, dst_path=str(scratch), tracking_uri=uri)
    except (MlflowException, OSError) as error:
        raise EncoderError(
            f"run {model.source_run_id}: missing artifact, {place} cannot be downloaded ({error})"
        ) from error
    return Path(got)


def read_config(folder: Path) -> dict:
    """config.json of a model folder.

    Raises:
        EncoderError: not there, or not JSON.
    """
    try:
        return read_json(folder / CONFIG_FILE)
    except (OSError, ValueError) as error:
        raise EncoderError(f"{folder / CONFIG_FILE} cannot be read: {error}") from error
