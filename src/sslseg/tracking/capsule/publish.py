"""A study to be shown to others: rows alone, without weights, images, people or places.

What goes out is on a list; all else is left out. A text goes out if every word of it is a number, a digest or a word of
this project's own vocabulary (stages, methods, datasets, knobs and their choices). Nothing that a person has typed
freely is: no folder, address, description, run name or error. Figures and decisions come out of the archive as they come
out of the whole store; encoders are listed, with digests, and cannot be fetched.
"""

import functools
import json
import re
from pathlib import Path
from typing import Any

from sslseg.config import flags, mlproject, names, plugins
from sslseg.config.files import read_json
from sslseg.plans import pipelines, studies, titles
from sslseg.tracking.capsule import rows
from sslseg.tracking.registry.register import VERSIONS

LEFT_OUT = "…"
PERSONAL = {names.TAG_PROCESS, names.TAG_HEARTBEAT, names.TAG_REASON}
# columns that hold words of people or places, and are emptied whatever they hold
EMPTIED = {"user_id", "source_name", "source_version", "entry_point_name", "description", "dataset_source", "run_link",
           "status_message", "dataset_schema", "dataset_profile"}  # fmt: skip
# texts that a program has checked when they were given, each with its form
CHECKED = {
    "architecture": re.compile(r"None|[a-z][a-z0-9_]*(\.[a-z0-9_]+)?"),
    "device": re.compile(r"auto|cpu|cuda(: [\w -]{1,40})?"),
    "key": re.compile(r"[\w ./@+-]{1,250}"),  # of a metric: its name and the classes of the data
}
_CODE = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?|[0-9a-f]{7,64}|nan|inf|m|v\d+(\.\d+)*")
_SPLIT = re.compile(r"[^\w.…-]+|-{2,}|(?<=\w)[-.](?=[a-z])|(?<=\bm)-")


@functools.cache
def vocabulary() -> frozenset[str]:
    """Every word that this project has chosen itself, in lower case."""
    words = {"none", "true", "false", "default", "scratch", "all", "n", "seed", "fold", "job", "project", "local", "unknown",
             "models", "model", "version", "ready", "finished", "failed", "killed", "active", "deleted", "imagenet",
             "target", "natural", "supervised", "optuna", "main", "slices", "patients", "epochs", "encoder", "unet",
             "cfg", "dataset", "input", "output", "run", "name", "parameters", "epoch", "no", "cardiac", "mri",
             "git", "mlflow", "data", "context", "asked", "run_input", "run_output", "model_output", "model_input",
             "s", "p", "dec", *titles.WORDS.values(), "finetuned"}  # fmt: skip
    words |= {str(v) for k, v in vars(names).items() if k.isupper() and isinstance(v, str)}
    for folder in ("datasets", "methods", "executors"):
        words |= set(plugins.names(folder))
    words |= {name for table in (studies.STUDIES, pipelines.ALIASES, pipelines.VARIANTS) for name in table}
    for entry, _, cls in mlproject.entry_points():
        words.add(entry)
        for knob, (field, meta, _) in flags.knobs(cls).items():
            words |= {knob, *map(str, meta.choices or ()), *map(flags.to_text, (meta.presets or {}).values())}
            words |= set(meta.presets or ())
            words |= {field.default} if isinstance(field.default, str) else set()
    return frozenset(part.lower() for word in words for part in _SPLIT.split(word) if part)


def is_public(text: str, key: str = "", known: frozenset[str] = frozenset()) -> bool:
    """Whether the text may go out: words of this project or of `known` alone, or of the form that a program has checked."""
    form = CHECKED.get(key.rpartition(".")[2])
    if form is not None:
        return form.fullmatch(text) is not None
    words = (w.lower() for w in _SPLIT.split(text) if w)
    return all(
        w in vocabulary() or w in known or _CODE.fullmatch(w) or w.rstrip("0123456789") in vocabulary()
        for w in words
    )


def public(found: rows.Rows) -> rows.Rows:
    """The rows as anyone may read them."""
    found = rows.portable(found)
    values = {r["value"] for r in found["params"] if r["key"].endswith("architecture")}
    known = frozenset(v for v in values if is_public(v, "architecture"))
    names_of = _model_names(found, known)
    return {
        table: [_row(table, row, known, names_of) for row in some if _kept(table, row, known)]
        for table, some in found.items()
    }


def _model_names(found: rows.Rows, known: frozenset[str]) -> dict[str, str]:
    """Name of every registered model -> itself, or a number where a person chose it."""
    typed = sorted({r["name"] for r in found["registered_models"]})
    return {name: name if is_public(name, known=known) else f"model-{i}" for i, name in enumerate(typed)}


def _kept(table: str, row: dict[str, Any], known: frozenset[str]) -> bool:
    key = str(row.get("key") or row.get("tag_key") or "")
    if table.endswith("tags"):
        return key not in PERSONAL and (not key or key.startswith(("sslseg.", "mlflow.")))
    if table == "params":
        return is_public(key, known=known)
    return table != "registered_model_aliases" or is_public(row["alias"], known=known)


def _row(table: str, row: dict[str, Any], known: frozenset[str], names_of: dict[str, str]) -> dict[str, Any]:
    key = str(row.get("key") or row.get("tag_key") or "")
    registered = table.startswith(("registered_model", "model_version"))

    def shown(column: str, value: object) -> object:
        if not isinstance(value, str) or column in ("key", "tag_key") and "metrics" not in table:
            return value
        if column == "name" and registered:
            return names_of[value]
        if key == VERSIONS and column == "tag_value":
            named = [v for v in json.loads(value) if v.get("name") in names_of]
            return json.dumps([{"name": names_of[v["name"]], "version": v["version"]} for v in named])
        said = {"key": "key", "metric_name": "key", "value": key, "tag_value": key}.get(column, "")
        return "" if column in EMPTIED else value if is_public(value, said, known) else LEFT_OUT

    return {column: shown(column, value) for column, value in row.items()}


def cells(file: Path, made: Path) -> Path:
    """What a sweep was to run, without the words of its errors; written to `made`."""
    kept = ("cell", "pipeline", "run_id", "asked")
    table = [
        {k: v for k, v in row.items() if k in kept and is_public(str(v))} | {"error": "failed" if row.get("error") else ""}
        for row in read_json(file)
    ]  # fmt: skip
    made.write_text(json.dumps(table, indent=1), encoding="utf-8")
    return made
