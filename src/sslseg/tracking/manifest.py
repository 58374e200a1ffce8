"""What is needed to start a stage again: code, parameters, packages, machine, data. An artifact.

Written when the stage starts, so that a run that fails has it too, and again with the digests when it ends.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException

from sslseg.config import commands, flags, names, plugins
from sslseg.config.files import read_json, sha256
from sslseg.config.names import SslsegError
from sslseg.plans import cells
from sslseg.tracking import session, store
from sslseg.tracking.registry import logged
from sslseg.tracking.runs import Run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

FILE = "manifest.json"
DIFF_FILE = "code.diff"
FORMAT = 1
SHAPE = {"run_id": str, "stage": str, "method": str, "params": dict, "code": dict, "machine": dict, "packages": dict,
         "digests": dict, "models": dict}  # fmt: skip
DIFF_LIMIT = 1 << 20  # bytes of a diff that are kept; its sha256 is that of the whole
GIT_SECONDS = 20
DIGESTS = (
    names.TAG_IDENTITY, names.TAG_DATASET, names.TAG_DATA_DIGEST, names.TAG_SUBSET, names.TAG_PREPARE_RUN,
    names.TAG_UPSTREAM_RUN, names.TAG_UPSTREAM_MODEL, names.TAG_UPSTREAM_SHA, names.TAG_LINEAGE,
)  # fmt: skip


@functools.cache
def code() -> tuple[dict[str, Any], bytes]:
    """State of the checkout that this process was started from, as the manifest records it; and what git calls its diff.

    Read once a process: the code that it has loaded does not change.
    """
    commit, diff, digests = "", b"", {}
    if _git("ls-files", "__init__.py"):  # else installed, or below somebody else's checkout
        new = _git("ls-files", "--others", "--exclude-standard", "--", ".").splitlines()
        digests = {name: sha256(plugins.PACKAGE / name) for name in sorted(new) if name.endswith(".py")}
        commit, diff = _git("rev-parse", "HEAD").strip(), _git("diff", "HEAD").encode()
    changed = {"sha256": hashlib.sha256(diff).hexdigest(), "bytes": len(diff)} if diff else None
    return {"commit": commit, "diff": changed, "untracked": digests}, diff


def _git(*words: str) -> str:
    """Output of git in the package's folder; '' where there is no git or no checkout."""
    command = ["git", "-C", str(plugins.PACKAGE), *words]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


@functools.cache
def packages() -> dict[str, str]:
    """name -> version of every installed distribution."""
    found = ((d.metadata["Name"], d.version) for d in importlib.metadata.distributions())
    return dict(sorted((name, version) for name, version in found if name))


@functools.cache
def processor() -> str:
    """Model name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def machine(device: str) -> dict[str, str]:
    """What of the machine can change a number."""
    system, python = platform.platform(), platform.python_version()
    return {"device": device, "cpu": processor(), "system": system, "python": python}


def start(run: Run, params: DataclassInstance, method: str | None, device: str) -> dict[str, Any]:
    """Write the manifest of a stage that is about to run, and the diff of its code; returns the manifest.

    Args:
        params: resolved and filled.
        device: name of the device that tensors live on.
    """
    facts, diff = code()
    content = {
        "format": FORMAT, "run_id": run.id, "stage": run.stage, "method": method or "", "params": flags.texts(params),
        "code": facts, "machine": machine(device), "packages": packages(), "digests": {}, "models": {},
    }  # fmt: skip
    _write(run, content)
    if diff:
        run.text(diff[:DIFF_LIMIT].decode(errors="ignore"), DIFF_FILE)
    return content


def complete(run: Run, content: Mapping[str, Any]) -> None:
    """Write it again, with the digests of data, subset and upstream, and of the models that were made."""
    found = run.client.get_run(run.id)
    tags = found.data.tags
    models = {m.name: m.tags.get(names.MODEL_SHA, "") for m in logged.of_run(found, run.uri)}
    digests = {tag.removeprefix(names.PREFIX): tags[tag] for tag in DIGESTS if tag in tags}
    _write(run, {**content, "digests": digests, "models": dict(sorted(models.items()))})


def _write(run: Run, content: Mapping[str, Any]) -> None:
    run.text(json.dumps(content, indent=1, sort_keys=True), FILE)


def read(run_id: str, uri: str | None = None) -> dict[str, Any]:
    """The manifest of a run, or of the run that a pointer leads to.

    Raises:
        SslsegError: no such run, or it has none.
    """
    try:
        run_id = session.follow(run_id, uri).info.run_id
        with tempfile.TemporaryDirectory() as scratch:
            path = store.client(uri).download_artifacts(run_id, FILE, scratch)
            content = read_json(Path(path))
    except (store.UnknownRunError, MlflowException, OSError, ValueError) as error:
        raise SslsegError(f"run {run_id}: no {FILE} can be read ({error})") from None
    if not isinstance(content, dict):
        raise SslsegError(f"run {run_id}: its {FILE} is none")
    if content.get("format") != FORMAT:
        raise SslsegError(f"run {run_id}: {FILE} has format {content.get('format')}, wanted {FORMAT}")
    wrong = [key for key, kind in SHAPE.items() if not isinstance(content.get(key), kind)]
    if wrong or not all(isinstance(text, str) for text in content["params"].values()):
        raise SslsegError(f"run {run_id}: its {FILE} is damaged in {', '.join(wrong) or 'params'}")
    tags = store.client(uri).get_run(run_id).data.tags
    if tags.get(names.TAG_STAGE, content["stage"]) != content["stage"]:
        raise SslsegError(
            f"run {run_id}: its tag says stage {tags[names.TAG_STAGE]}, its {FILE} says {content['stage']}"
        )
    noted = {"archive": names.TAG_ARCHIVE, "upstream": names.TAG_UPSTREAM_MODEL}
    return content | {key: tags.get(tag, "") for key, tag in noted.items()}


def params(written: Mapping[str, Any], **moved: str | None) -> Any:
    """Resolved parameters of the stage that left a manifest.

    Args:
        moved: values to take instead, where they are not None.

    Raises:
        ParamError: the stage has no such knob, or not that value, any more.
    """
    kept = {k: v for k, v in written["params"].items() if not (written.get("archive") and _is_place(v))}
    if moving(written):
        kept["encoder"] = f"models:/{written['upstream']}"
    texts = kept | {name: text for name, text in moved.items() if text is not None}
    return flags.resolve(flags.from_mapping(cells.parameters_of(written["stage"], written["method"]), texts))


def moving(written: Mapping[str, Any]) -> str:
    """The alias, or `latest`, that the encoder was named by, where the run notes what that was: it may mean another now."""
    text = written["params"].get("encoder", "")
    return text if written.get("upstream") and re.fullmatch(r"models:/[^@]+(@.+|/latest)", text) else ""


def _is_place(text: str) -> bool:
    """Whether a text may name a file, a folder or an address: what an archive says is not to be opened."""
    return bool(re.search(r"[/\\~]|^\w:|\.\.", text)) and not text.startswith("models:/")


def command(written: Mapping[str, Any], params: DataclassInstance) -> str:
    """What running a stage from its manifest amounts to, for somebody who has to agree to it."""
    name = f"pretrain_{written['method']}" if written["method"] else written["stage"]
    return commands.command(name, **flags.texts(params))


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Lines on what two manifests say of code, machine, packages, parameters, data and models."""
    lines = []
    for part in ("code", "machine", "packages", "params", "digests", "models"):
        a, b = one[part], other[part]
        keys = sorted(key for key in {*a, *b} if a.get(key) != b.get(key))
        lines += [f"{part} {key}: {a.get(key)} / {b.get(key)}" for key in keys]
    return lines
