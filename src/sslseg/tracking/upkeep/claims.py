"""Which store has made a folder of artifacts: two stores may share one `mlruns`, and neither knows the other's runs.

The folder of each run and model that is made here has a file beside its artifacts, with a digest of who made it: a
random number that the store keeps, and the store's address. A copy of a store at another address, or a new store at an old
address, is another one. Folders without the file, or of somebody else, are never taken for leftovers.
"""

import contextlib
import functools
import hashlib
import uuid
from pathlib import Path

from mlflow.exceptions import MlflowException

from sslseg.config import caches, names
from sslseg.tracking import store


@functools.lru_cache(maxsize=64)
def identity(uri: str) -> str:
    """Of a store, made at the first asking; '' where this account may not write it down."""
    api = store.client(uri)
    try:
        known = api.get_experiment(store.DEFAULT_EXPERIMENT).tags.get(names.STORE_ID)
        if not known:
            with store.lock(uri, "claim"):
                known = (
                    api.get_experiment(store.DEFAULT_EXPERIMENT).tags.get(names.STORE_ID) or uuid.uuid4().hex
                )
                api.set_experiment_tag(store.DEFAULT_EXPERIMENT, names.STORE_ID, known)
    except MlflowException:
        return ""
    return hashlib.sha256(f"{known} {store.tracking_uri(uri).partition('?')[0]}".encode()).hexdigest()[:32]


def mark(artifacts: str, uri: str) -> None:
    """Write on the folder around `artifacts`, an artifact address, that this store has made it.

    Artifacts elsewhere, or a disk that cannot be written, have no mark: then nobody calls the folder a leftover.
    """
    place = store.local_path(artifacts)
    if place is None or not (own := identity(uri)):
        return
    with contextlib.suppress(OSError):
        caches.claim(place.parent, f"store {own}\n")


def is_own(folder: Path, uri: str) -> bool:
    """Whether this store has made the folder of a run or a model."""
    own = identity(uri)
    try:
        return (
            bool(own)
            and f"store {own}" in (folder / caches.MADE_HERE).read_text(encoding="utf-8").splitlines()
        )
    except (OSError, UnicodeDecodeError):
        return False
