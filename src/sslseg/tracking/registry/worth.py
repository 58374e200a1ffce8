"""What an analysis has found out about an encoder, as the first line of its registry description."""

import contextlib
import re

from mlflow.exceptions import MlflowException

from sslseg.config import names
from sslseg.tracking import store
from sslseg.tracking.registry import logged
from sslseg.tracking.registry.register import TEXT_LIMIT

_FOUND = re.compile(r"\A> [^\n]*\n\n")  # the line of an earlier analysis


def lead(text: str, sentence: str) -> str:
    """A description with `sentence` as its first line, in place of that of an earlier analysis."""
    line = " ".join(sentence.split()).replace("<", "&lt;")
    return f"> {line}\n\n{_FOUND.sub('', text)}"[:TEXT_LIMIT]


def put(model_id: str, sentence: str, uri: str | None = None) -> int:
    """Write `sentence` into every registered version of a model, and as a tag of the model itself.

    Returns:
        the versions described; 0 where the model is gone or was never registered.
    """
    api = store.client(uri)
    try:
        model = api.get_logged_model(model_id)
    except MlflowException as error:
        store.only_gone(error)
        return 0
    found = api.search_model_versions(f"run_id = '{model.source_run_id}'")
    mine = [v for v in found if logged.model_id_of(v, uri) == model_id]
    for version in mine:
        text = lead(version.description or "", sentence)
        if text != version.description:
            api.update_model_version(version.name, version.version, text)
    with contextlib.suppress(MlflowException):  # a model that is not READY any more takes no tag
        api.set_logged_model_tags(model_id, {names.MODEL_WORTH: sentence})
    return len(mine)
