"""A second archive beside what a store has already: two halves of a study, made on two machines, are one study.

Run and model IDs stay. A run that is in both is left as the store has it. Versions of a registered model
whose numbers are taken get new ones, and what names them by number follows. An alias stays where it points.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from sslseg.config.names import SslsegError
from sslseg.tracking.capsule import rows
from sslseg.tracking.capsule.rows import Rows
from sslseg.tracking.manifest import FILE as MANIFEST
from sslseg.tracking.registry.register import VERSIONS

# of a run that is here and in the archive: what must be equal, for a history cannot be merged
SAME = {
    "runs": ("status", "start_time", "end_time"),
    "params": ("key", "value"),
    "metrics": ("key", "step", "timestamp", "value", "is_nan"),
}
# texts that may name a model by version
TEXTS = {"params": "value", "tags": "value", "logged_model_tags": "tag_value", "model_version_tags": "value",
         "model_versions": "description"}  # fmt: skip
REFERENCE = re.compile(r"models:/(?P<name>[^/@\s\"']+)/(?P<version>\d+)")


@dataclass(frozen=True)
class Joined:
    """What became of the archive's rows, and how its texts are to be read."""

    notes: tuple[str, ...]  # sentences for a person
    renumbered: Callable[[str], str]  # a text with the new version numbers


def join(connection: Connection, tables: Mapping[str, Table], found: Rows) -> Joined:
    """Take out of `found` what the store has already, and give the rest numbers that are free.

    Raises:
        SslsegError: a run is here with another history, or a model without its run.
    """
    here = _shared(connection, tables, found)
    runs = {row["run_uuid"] for row in found["runs"]}
    numbers, moved = _numbers(connection, tables, found, here)
    _leave_out(found, here)
    notes = [f"{len(here)} of {len(runs)} runs were here already and are left as they are"] if here else []
    notes += [
        f"{name}: versions {', '.join(map(str, old))} of the archive are versions "
        f"{', '.join(str(numbers(name, n)) for n in old)} here"
        for name, old in moved.items()
    ]
    notes += _aliases(connection, tables, found, numbers)

    def renumbered(text: str) -> str:
        return REFERENCE.sub(lambda m: f"models:/{m['name']}/{numbers(m['name'], int(m['version']))}", text)

    _renumber(found, numbers, renumbered)
    return Joined(tuple(notes), renumbered)


def _shared(connection: Connection, tables: Mapping[str, Table], found: Rows) -> set[str]:
    """IDs of the runs that are in both, with one history."""
    here = _there(connection, tables["runs"].c.run_uuid) & {r["run_uuid"] for r in found["runs"]}
    own = rows.read(connection, tables, sorted(here))
    for name, columns in SAME.items():
        ours, theirs = (_by_run(some[name], columns) for some in (own, found))
        for run_id in sorted(here):
            if ours.get(run_id) != theirs.get(run_id):
                raise SslsegError(
                    f"run {run_id} is in this store and in the archive, and they differ in its {name}: one of them "
                    "went on. Nothing was added; a store of its own takes the archive"
                )
    models = {r["model_id"]: r["source_run_id"] for r in found["logged_models"]}
    stray = _there(connection, tables["logged_models"].c.model_id) & models.keys()
    if alone := sorted(model for model in stray if models[model] not in here):
        raise SslsegError(f"model {alone[0]} is in this store, and its run {models[alone[0]]} is not")
    return here


def _there(connection: Connection, column: Column[str]) -> set[str]:
    return set(connection.execute(select(column)).scalars())


def _by_run(some: list[dict[str, Any]], columns: tuple[str, ...]) -> dict[str, set[tuple]]:
    found: dict[str, set[tuple]] = {}
    for row in some:
        found.setdefault(row["run_uuid"], set()).add(tuple(row[column] for column in columns))
    return found


def _numbers(
    connection: Connection, tables: Mapping[str, Table], found: Rows, here: set[str]
) -> tuple[Callable[[str, int], int], dict[str, list[int]]]:
    """(name, version in the archive) -> version here; and the versions that get another number, by name, in order.

    All versions of a name move by the same amount, so that those deleted before are not taken for others.
    """
    table = tables["model_versions"]
    taken = connection.execute(select(table.c.name, table.c.version, table.c.source)).all()
    known: dict[tuple[str, str], int] = {(name, source): version for name, version, source in taken}
    last: dict[str, int] = {name: version for name, version, _ in sorted(taken, key=lambda row: row.version)}
    shared: dict[tuple[str, int], int] = {
        (r["name"], r["version"]): known.get((r["name"], r["source"])) or r["version"]
        for r in found["model_versions"]
        if r["run_id"] in here
    }
    new = [(r["name"], r["version"]) for r in found["model_versions"] if r["run_id"] not in here]
    clashing = {name for name, _ in {(name, version) for name, version, _ in taken}.intersection(new)}

    def number(name: str, version: int) -> int:
        return shared.get((name, version), version + (last[name] if name in clashing else 0))

    return number, {name: sorted(version for n, version in new if n == name) for name in sorted(clashing)}


def _leave_out(found: Rows, here: set[str]) -> None:
    """Drop every row of the runs that are here."""
    models = {r["model_id"] for r in found["logged_models"] if r["source_run_id"] in here}
    versions = {(r["name"], r["version"]) for r in found["model_versions"] if r["run_id"] in here}
    found["inputs"] = [r for r in found["inputs"] if not {r["source_id"], r["destination_id"]} & here]
    gone = {"runs": here, "models": models}
    for name, (column, by) in rows.CHOSEN_BY.items():
        if by in gone:
            found[name] = [r for r in found[name] if r[column] not in gone[by]]
    for name in ("model_version_tags", "registered_model_aliases"):
        found[name] = [r for r in found[name] if (r["name"], r["version"]) not in versions]
    kept = {r["input_uuid"] for r in found["inputs"]}
    found["input_tags"] = [r for r in found["input_tags"] if r["input_uuid"] in kept]


def _aliases(
    connection: Connection, tables: Mapping[str, Table], found: Rows, number: Callable[[str, int], int]
) -> list[str]:
    """Sentences on the aliases that point to a version here, and so not to the archive's."""
    table = tables["registered_model_aliases"]
    there = {
        (r.name, r.alias): r.version
        for r in connection.execute(select(table.c.name, table.c.alias, table.c.version))
    }
    return [
        f"models:/{r['name']}@{r['alias']} stays version {there[r['name'], r['alias']]}; the archive's is "
        f"models:/{r['name']}/{number(r['name'], r['version'])}"
        for r in found["registered_model_aliases"]
        if (r["name"], r["alias"]) in there
    ]


def _renumber(found: Rows, number: Callable[[str, int], int], renumbered: Callable[[str], str]) -> None:
    for name, column in TEXTS.items():
        for row in found[name]:
            if isinstance(row[column], str):
                row[column] = renumbered(row[column])
    for row in found["logged_model_tags"]:
        if row["tag_key"] == VERSIONS:
            row["tag_value"] = _versions(row["tag_value"], number)
    for name in rows.VERSIONED:
        for row in found[name]:
            row["version"] = number(row["name"], row["version"])


def _versions(text: str, number: Callable[[str, int], int]) -> str:
    """MLflow's own list of a model's versions, with their new numbers."""
    try:
        listed = [
            dict(one, version=str(number(one["name"], int(one["version"])))) for one in json.loads(text)
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise SslsegError(f"archive: {VERSIONS} {text[:80]!r} is no list of versions ({error})") from None
    return json.dumps(listed)


def follow(folder: Path, renumbered: Callable[[str], str]) -> None:
    """Give the manifests below `folder`, from which `sslseg rerun` starts runs again, the new numbers too."""
    for path in folder.glob(f"runs/*/{MANIFEST}"):
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        if (new := renumbered(text)) != text:
            path.write_text(new, encoding="utf-8", errors="surrogateescape")
