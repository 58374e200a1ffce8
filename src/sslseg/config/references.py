"""What a user types for a model, by its form alone.

Accepted: a run ID, runs:/<run ID>[/name], models:/<name>@<alias>, models:/<name>/<version>,
models:/<name>/latest, models:/m-<ID>. Files and web addresses are not: they would bypass tags, lineage and digest.
"""

from __future__ import annotations

import re

from sslseg.config.names import EncoderError

RUN_ID, MODEL_ID = re.compile(r"[0-9a-f]{32}"), re.compile(r"m-[0-9a-f]{32}")
_FORMS = {
    "run": re.compile(rf"(?:runs:/)?(?P<run>{RUN_ID.pattern})(?:(?<=runs:/.{{32}})/(?P<model>[^/]+))?"),
    "model": re.compile(rf"models:/(?P<model>{MODEL_ID.pattern})"),
    "alias": re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[\w-]+)"),
    "version": re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+|latest)"),
}


def is_one(text: str) -> bool:
    """Whether a text has the form of a reference, whatever there is behind it."""
    return any(pattern.fullmatch(text.strip()) for pattern in _FORMS.values())


def parse(reference: str) -> tuple[str, dict[str, str]]:
    """The form (run, model, alias, version) and its parts, '' where one is left out.

    Raises:
        EncoderError: none of these forms.
    """
    for form, pattern in _FORMS.items():
        if found := pattern.fullmatch(reference.strip()):
            return form, found.groupdict("")
    raise EncoderError(
        f"{reference!r} is not a reference to a model: wanted a run ID (32 hex digits), "
        "runs:/<run ID>[/name], models:/<name>@<alias>, models:/<name>/<version>, models:/<name>/latest or models:/m-<ID>. "
        "Weights from elsewhere come in by -e import_encoder; `sslseg encoders` lists what there is"
    )
