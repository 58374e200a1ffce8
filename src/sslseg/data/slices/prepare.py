"""From a dataset's files to its slice store, or to the one that is there already."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from sslseg.config import caches, files, plugins
from sslseg.config.names import DataError
from sslseg.data.slices import build, contact_sheet, slice_store
from sslseg.data.slices.slice_store import META, Slices, open_store
from sslseg.data.slices.sources import Inputs, describe, digest, file_digests, listed, recipe

SHEET = "contact-sheet.png"


def locate(dataset: str, data_root: str, cache: Path) -> Path:
    """The folder of a dataset: `data_root`, or the built-in one (written to `cache` if absent).

    Raises:
        ParamError: no folder is given and the dataset has none built in.
        DataError: the folder is not there.
    """
    module = plugins.load("datasets", dataset) if data_root else plugins.built_in(dataset)
    root = data_root or module.default_root(caches.claim(cache))
    return files.folder(root, f"the folder of dataset {dataset}")


def prepare(
    dataset: str,
    root: Path,
    cache: Path,
    *,
    spacing: float,
    verify: bool = False,
    on_bad_file: str = "stop",
    progress: bool = True,
) -> Slices:
    """The slice store of `dataset` at `root`; made if there is none, else found without opening an image.

    Args:
        spacing: in-plane spacing after resampling, mm; 0 = none. Ignored by natural images.
        verify: hash every file instead of trusting path, size and mtime, and make a damaged store anew.
        on_bad_file: "stop", or "skip": leave unreadable files out and list them in `skipped`.

    Raises:
        DataError: a file is not what its format promises, or nothing is left.
    """
    root, folder = Path(root).resolve(), caches.claim(Path(cache).resolve()) / "slices"
    module = plugins.load("datasets", dataset)
    about = describe(module, root)
    sources, faults = listed(module, root, lenient=on_bad_file == "skip")
    if not sources:
        why = f"; {len(faults)} files were left out, the first: {faults[0]['reason']}" if faults else ""
        raise DataError(f"{root}: wanted data of dataset {dataset}, found none{why}")
    inputs = Inputs(dataset, module, root, about, recipe(module, about, spacing), sources, faults)
    warm = folder / "warm" / (files.sha256_of([dataset, str(root), inputs.recipe]) + ".json")
    state = {"files": inputs.stamps(), "sources": files.sha256_of([inputs.rows(), faults])}
    store = None if verify else _remembered(warm, state, folder)
    if store is None:
        slices = _by_content(inputs, folder, verify, on_bad_file == "skip", progress)
        build.write_json(warm, state | {"store": slices.path.name})
    else:
        slices = open_store(store)
    if slices.skipped and on_bad_file == "stop":
        many = f"{len(slices.skipped)} such files; on_bad_file=skip leaves them out"
        raise DataError(f"{slices.skipped[0]['reason']} ({many})")
    return replace(slices, root=root)


def _by_content(inputs: Inputs, folder: Path, verify: bool, skip: bool, progress: bool) -> Slices:
    """Hash the files and find the store of that content, or build it."""
    digests = file_digests(inputs, progress)
    store = folder / f"{inputs.dataset}-{digest(inputs, digests)[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{store.name}.lock"):  # a second process waits, then finds it built
        if store.exists() and (verify or not (store / META).exists()) and slice_store.fault(store):
            shutil.rmtree(store)
        if not (store / META).exists():
            build.build(store, inputs, digests, skip=skip, progress=progress)
        slices = open_store(store)
        if not (store / SHEET).exists():
            contact_sheet.contact_sheet(slices, aside := store / f".{SHEET}")
            aside.replace(store / SHEET)
    return slices


def _remembered(warm: Path, state: Mapping[str, object], folder: Path) -> Path | None:
    try:
        known = json.loads(warm.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    store = folder / str(known.pop("store", ""))
    return store if known == state and (store / META).exists() else None
