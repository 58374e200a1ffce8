"""One sha256 for all that determines a run's result.

Two runs of one identity give the same numbers, so a finished one is used again and an unfinished one
is gone on with. A word changed in a comment, a docstring, a help text, a message, a card or a page is not a
change of the result.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from sslseg.config import flags, plugins
from sslseg.config.files import sha256_of
from sslseg.config.names import SCRATCH

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Ways to name the upstream or the data. What they lead to enters by its content instead.
REFERENCES = frozenset({"encoder", "encoder_epoch", "encoder_role", "model", "data_root"})

# Files and folders that record, name or show what the others compute. Parameters count by their values, upstream
# weights and data by their content.
SILENT = (
    "config", "tracking", "execute.py", "data/slices/contact_sheet.py", "stages/evaluate/page.py",
    "stages/outcome/cards.py", "stages/outcome/endings.py", "stages/outcome/overlays.py",
)  # fmt: skip
SILENT_FIELDS = frozenset(
    {"annotation", "returns", "ctx", "kind", "type_comment", "type_ignores", "type_params"}
)


def of(
    p: DataclassInstance, *, upstream_sha: str, data: str, subset: str, code: str, numerics: str = ""
) -> str:
    """Identity of a stage with resolved parameters `p`.

    Args:
        p: its class (stage and method) and every knob enter, but for runtime knobs and REFERENCES.
        upstream_sha: sha256 of the upstream weights; "scratch" or "" without.
        data, subset: digests of the slice store and of the annotated subset.
        code: `code_digest` of the stage.
        numerics: what of the way networks are executed changes their numbers; "" = nothing.
    """
    texts = {k: v for k, v in flags.texts(p, identity_only=True).items() if k not in REFERENCES}
    if getattr(p, "encoder", None) == SCRATCH:
        texts["encoder"] = SCRATCH
    module = type(p).__module__
    parts = {
        "stage": f"{'params' if '.config.params.' in module else module.rpartition('.')[2]}.{type(p).__qualname__}",
        "params": texts,
        "upstream": upstream_sha,
        "data": data,
        "subset": subset,
        "code": code,
    } | ({"numerics": numerics} if numerics else {})
    return sha256_of(parts)


@functools.cache
def code_digest(*parts: str | Path) -> str:
    """sha256 over the code of `parts`, and of all that they import from this package, that can change a number.

    Args:
        parts: module names ("sslseg.stages.finetune") or files (plug-ins, which nothing imports by name).

    Imports are read from the source, also those inside functions; nothing is imported. Those of SILENT are not
    followed. Kept for the life of the process, whose loaded code does not change either.

    Raises:
        ValueError: there is no such module: its code would be that of any other one that is not there.
    """
    files: dict[str, str] = {}
    waiting = [_path(part) if isinstance(part, str) else Path(part) for part in parts]
    if None in waiting:
        raise ValueError(f"wanted modules of this package, got {parts[waiting.index(None)]}")
    while waiting:
        path = waiting.pop()
        if path is None or (label := _label(path)) in files or _is_silent(label):
            continue
        files[label], imported = _read(path.read_bytes(), label)
        waiting += map(_path, imported)
    listed = "".join(f"{label} {digest}\n" for label, digest in sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


@functools.cache
def _read(source: bytes, label: str) -> tuple[str, frozenset[str]]:
    """Digest of what of a file can change a number, and the names that it imports."""
    tree = ast.parse(source, filename=label)
    return hashlib.sha256(repr(_numeric(tree)).encode()).hexdigest(), _imports(tree, label)


def _is_silent(label: str) -> bool:
    return any(label == place or label.startswith(f"{place}/") for place in SILENT)


def _numeric(node: object) -> object:
    """A syntax tree as nested lists, without what cannot change a number.

    Left out: comments and layout, docstrings, annotations, what is printed, the sentences of errors, and the lines
    of knobs, whose values are a part of the identity themselves. The same for every version of Python.
    """
    match node:
        case list():
            return [part for part in map(_numeric, node) if part is not None]
        case ast.Expr(value=ast.Constant() | ast.Call(func=ast.Name(id="print"))):
            return None
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return None
        case ast.Call(func=ast.Name(id="knob")):
            return "knob"
        case ast.Raise(exc=ast.Call(func=error)):
            return ["Raise", _numeric(error)]
        case ast.AST():
            fields = [(name, value) for name, value in ast.iter_fields(node) if name not in SILENT_FIELDS]
            return [type(node).__name__, *([n, _numeric(v)] for n, v in fields if v is not None and v != [])]
    return repr(node)


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


def _imports(tree: ast.Module, label: str) -> frozenset[str]:
    """Names that a file may import: of `from a.b import c` both a.b and a.b.c, and all their parents."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, label)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(name.rsplit(".", cut)[0] for name in found for cut in range(name.count(".") + 1))


def _absolute(node: ast.ImportFrom, label: str) -> str:
    if not node.level:
        return node.module or ""
    inside = (plugins.PACKAGE.name, *Path(label).parts)[: -node.level]
    return ".".join((*inside, *filter(None, [node.module])))
