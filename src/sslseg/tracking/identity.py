"""One sha256 for all that determines a run's result.

Two runs of one identity give the same numbers, so a finished one is used again and an unfinished one
is gone on with.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from sslseg.config import flags, plugins
from sslseg.config.names import SCRATCH

# Ways to name the upstream or the data. What they lead to enters by its content instead.
REFERENCES = frozenset({"encoder", "encoder_epoch", "encoder_role", "model", "data_root"})


def of(p: Any, *, upstream_sha: str, data: str, subset: str, code: str) -> str:
    """Identity of a stage with resolved parameters `p`.

    Args:
        p: its class (stage and method) and every knob enter, but for runtime knobs and REFERENCES.
        upstream_sha: sha256 of the upstream weights; "scratch" or "" without.
        data, subset: digests of the slice store and of the annotated subset.
        code: `code_digest` of the stage.
    """
    texts = {k: v for k, v in flags.texts(p, identity_only=True).items() if k not in REFERENCES}
    if getattr(p, "encoder", None) == SCRATCH:
        texts["encoder"] = SCRATCH
    parts = {
        "stage": f"{type(p).__module__}.{type(p).__qualname__}",
        "params": texts,
        "upstream": upstream_sha,
        "data": data,
        "subset": subset,
        "code": code,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@functools.cache
def code_digest(*parts: str | Path) -> str:
    """sha256 over the source of `parts` and of every module of this package that they import.

    Args:
        parts: module names ("sslseg.stages.finetune") or files (plug-ins, which nothing imports by name).

    Imports are read from the source, also those inside functions; nothing is imported. Kept for the
    life of the process, whose loaded code does not change either.
    """
    files: dict[str, bytes] = {}
    waiting = [_path(part) if isinstance(part, str) else Path(part) for part in parts]
    while waiting:
        path = waiting.pop()
        if path is None or _label(path) in files:
            continue
        source = path.read_bytes()
        files[_label(path)] = source
        waiting += [_path(name) for name in _imports(source, path)]
    digest = hashlib.sha256()
    for label, source in sorted(files.items()):
        digest.update(f"{label} {hashlib.sha256(source).hexdigest()}\n".encode())
    return digest.hexdigest()


def _label(path: Path) -> str:
    """Name of a file that does not depend on where the clone lies."""
    path = path.resolve()
    return str(path.relative_to(plugins.PACKAGE)) if path.is_relative_to(plugins.PACKAGE) else path.name


def _path(module: str) -> Path | None:
    """File of a module of this package; None for others, and for the package's own lazy __init__."""
    package, _, rest = module.partition(".")
    if package != plugins.PACKAGE.name or not rest:
        return None
    stem = plugins.PACKAGE.joinpath(*rest.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(source: bytes, path: Path) -> set[str]:
    """Names that `source` may import: of `from a.b import c` both a.b and a.b.c, and all their parents."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source, filename=str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name.rsplit(".", cut)[0] for name in found for cut in range(name.count(".") + 1)}


def _absolute(node: ast.ImportFrom, path: Path) -> str:
    if not node.level:
        return node.module or ""
    inside = path.resolve().relative_to(plugins.PACKAGE.parent).parts[: -node.level]
    return ".".join((*inside, *filter(None, [node.module])))
