"""A study to be shown to others: rows alone, without weights, images, people or places.

The archive is one of `packing`, so `unpacking` reads it. Figures and decisions come out of it as they come
out of the whole store; encoders are listed, with digests, and cannot be fetched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sslseg.config import names
from sslseg.tracking.capsule import archive, pack, rows
from sslseg.tracking.runs import RUN_NAME

KEPT = (names.CELLS,)  # files that go along: what a sweep was to run
PERSONAL = {names.TAG_PROCESS, names.TAG_HEARTBEAT, "mlflow.user", "mlflow.source.name"}
BLANK = {"user_id", "source_name"}
# two folders deep or more; not what follows `runs:`, a word or another slash
_PATH = re.compile(r"(?:(?<=file://)|(?<=sqlite:///)|(?<![\w:/.<]))/(?:[^\s/\"'<>]+/)+([^\s/\"',;)<>]*)")


def without_paths(text: str) -> str:
    """`…/training` for `/data/acdc/training`."""
    return _PATH.sub(r"…/\1", text)


def public(found: rows.Rows) -> rows.Rows:
    """The rows as anyone may read them."""
    out = {name: [_row(row) for row in some] for name, some in rows.portable(found).items()}
    out["tags"] = [r for r in out["tags"] if r["key"] not in PERSONAL]
    return out


def _row(row: dict[str, Any]) -> dict[str, Any]:
    blank = dict.fromkeys(BLANK & row.keys(), "")
    texts = {key: without_paths(value) for key, value in row.items() if isinstance(value, str)}
    if row.get("key") == RUN_NAME:
        texts["value"] = row["value"]
    return row | texts | blank


def publish(target: str, path: Path, uri: str, artifacts: Path | None = None) -> tuple[int, int]:
    """Write the archive; returns the numbers of runs and of bytes. See `pack.pack`."""
    with rows.connect(uri) as (connection, tables, schema):
        run_ids = pack.chosen(target, uri)
        found = rows.read(connection, tables, run_ids)
    places = {(row["run_uuid"], name): row["artifact_uri"] for row in found["runs"] for name in KEPT}
    files = {
        f"runs/{run_id}/{name}": rows.folder(place, artifacts) / name
        for (run_id, name), place in places.items()
    }
    content = {"schema": schema, "rows": public(found)}
    return len(run_ids), archive.write(
        path, content, {k: file for k, file in files.items() if file.is_file()}
    )
