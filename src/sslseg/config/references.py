"""What a user types for a model, or for weights from elsewhere, by its form alone.

Accepted: a run ID, runs:/<run ID>[/name], models:/<name>@<alias>, models:/<name>/<version>,
models:/<name>/latest, models:/m-<ID>. Files and web addresses are not: they would bypass tags, lineage and digest.
Weights from elsewhere are timm:<name>, file:<path> or bundled:efficientnet_lite0.
"""

import re

from sslseg.config.names import EncoderError, ParamError

BUNDLED = "efficientnet_lite0"  # the ImageNet weights that are installed with this project
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


def source(text: str) -> tuple[str, str]:
    """Where weights from elsewhere come from: timm, file or bundled, and which.

    Raises:
        ParamError: none of the three.
    """
    kind, _, rest = text.partition(":")
    if rest and kind in ("timm", "file") or text == f"bundled:{BUNDLED}":
        return kind, rest
    like_a_path = "/" in text or text.endswith((".pth", ".pt", ".ckpt", ".safetensors"))
    meant = f"; did you mean {'file' if like_a_path else 'timm'}:{text}?" if text and ":" not in text else ""
    raise ParamError(f"source: wanted timm:<name>, file:<path> or bundled:{BUNDLED}; not {text!r}{meant}")


def origin(text: str) -> str:
    """What was said of where a file's weights come from.

    Raises:
        ParamError: nothing was.
    """
    if not text.strip():
        raise ParamError(
            "origin: say in words where the weights of a file come from (a URL, a paper, a colleague)"
        )
    return text.strip()
