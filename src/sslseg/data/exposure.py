"""Which patients and images a network has seen: salted hashes in a file beside its weights.

A patient is known by dataset and name, and by the voxels of every image: a file that was renamed, moved or
compressed again decodes to the same voxels (`encode.voxel_digest`, of the kind that an entry names). Not known
again: an image that was resampled, cropped or rescaled.

Of weights from elsewhere there is a word at most: the data that they are declared to come from. Such an entry lists
nobody, and stands for every patient of the data of that name; without a word, nothing is known.

The salt differs from entry to entry, so that files of two encoders cannot be joined by their hashes. It is
public: whoever holds a list of names can still try them.
"""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sslseg.config import plugins
from sslseg.config.files import read_json
from sslseg.config.names import EXPOSURE_FILE, EncoderError
from sslseg.data.slices import contents
from sslseg.data.slices.encode import SHA256, XXH3
from sslseg.data.slices.slice_store import Slices

FORMAT = 1
DIGITS = 32  # 128 bits, as of the voxels' digest: no accidental match among any number of images
SIZE_LIMIT = 256 << 20  # bytes; a million images take about 35 MB


@dataclass(frozen=True)
class Seen:
    """What one stage of training read, or what weights from elsewhere are declared to come from."""

    run_id: str
    stage: str
    dataset: str  # of a declaration the words, '' = unknown
    salt: str
    patients: tuple[str, ...]
    images: tuple[str, ...]
    voxels: str = SHA256  # kind of the digests that the images are hashes of

    @property
    def declared(self) -> bool:
        """A word is all there is: who was in the data is not on record."""
        return not self.patients


@dataclass(frozen=True)
class Overlap:
    """What of some rows was seen, and by which stages."""

    patients: tuple[str, ...]  # names
    images: int
    by: tuple[Seen, ...]


@dataclass(frozen=True)
class Volumes:
    """Whose volumes they are, and how their voxels are known."""

    dataset: str
    patients: list[str]
    digests: Callable[[str], list[str]]  # kind -> `encode.voxel_digest` of each
    kind: str = XXH3  # the one that is at hand


def volumes(store: Slices, rows: Iterable[int]) -> Volumes:
    """Those that have some of the `rows` of `store`."""
    there = np.unique(store.index["volume"].to_numpy()[np.asarray(list(rows), int)])
    patients = store.volume_table["patient"].iloc[there].astype(str).tolist()
    digests = functools.partial(contents.digests, store, there)
    return Volumes(store.dataset, patients, digests, contents.kind(store.volume_table))


def of(store: Slices, rows: Iterable[int], *, run_id: str, stage: str) -> Seen:
    """The entry of a stage that trained on, or chose its network by, `rows` of `store`."""
    salt = hashlib.sha256(f"{run_id} {store.digest}".encode()).hexdigest()[:DIGITS]
    held = volumes(store, rows)
    patients = {_hash(salt, f"{store.dataset}/{name}") for name in held.patients}
    images = {_hash(salt, digest) for digest in held.digests(held.kind)}
    return Seen(run_id, stage, store.dataset, salt, tuple(sorted(patients)), tuple(sorted(images)), held.kind)


def declared(run_id: str, stage: str, dataset: str) -> Seen:
    """The entry of weights that were made elsewhere, from `dataset` in words; '' = nobody knows."""
    return Seen(run_id, stage, dataset, "", (), ())


def covers(words: str, dataset: str) -> bool:
    """Whether declared `words` ("ACDC 2017", "imagenet+acdc") name `dataset`.

    The name of a format (images, nnunet …) is a dataset only where it stands alone.
    """
    found = [word.rstrip("0123456789") for word in re.findall(r"[a-z0-9]+", words.lower().replace("&", "n"))]
    return found == [dataset] or (dataset in found and not plugins.is_format(dataset))


def standing(seen: Iterable[Seen]) -> str:
    """What is known of all that was seen: "" = it is on record, "unknown", or "declared: imagenet"."""
    if not (words := [entry.dataset for entry in seen if entry.declared]):
        return ""
    return "unknown" if "" in words else f"declared: {', '.join(sorted(set(words)))}"


def _hash(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt} {text}".encode()).hexdigest()[:DIGITS]


def overlap(seen: Sequence[Seen], held: Volumes) -> Overlap:
    """Patients of some volumes whose name or whose image is in `seen`; all of them where the data's name is declared."""
    images = held.digests(held.kind)
    met: dict[str, set[str]] = {}
    by = []
    for entry in seen:
        names, known = set(entry.patients), set(entry.images)
        whole = entry.declared and covers(entry.dataset, held.dataset)
        digests = held.digests(entry.voxels) if known else images
        hit = False
        for patient, image, digest in zip(held.patients, images, digests, strict=True):
            same = _hash(entry.salt, digest) in known
            if same or whole or _hash(entry.salt, f"{held.dataset}/{patient}") in names:
                hit = True
                met.setdefault(patient, set()).update([image] * same)
        by += [entry] * hit
    return Overlap(tuple(sorted(met)), sum(map(len, met.values())), tuple(by))


def write(folder: Path, seen: Iterable[Seen], origin: str = "") -> None:
    """Write the file of a model folder: the entries of its own stage and of all upstream.

    Args:
        origin: of weights that were made elsewhere: what is declared, for nothing is known.
    """
    entries = {(entry.run_id, entry.salt, entry.dataset): asdict(entry) for entry in seen}
    content = {"format": FORMAT, "origin": origin, "seen": list(entries.values())}
    (Path(folder) / EXPOSURE_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> list[Seen]:
    """The entries of a model folder, root first. Raises EncoderError: no such file, or not one that `write` wrote."""
    path = Path(folder) / EXPOSURE_FILE
    try:
        content = read_json(path, SIZE_LIMIT)
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, wanted {FORMAT}")
        return [_entry(**entry) for entry in content["seen"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EncoderError(f"{path}: wanted the list of what the encoder has seen ({error})") from None


def _entry(*, patients: list[str], images: list[str], **facts: str) -> Seen:
    return Seen(patients=tuple(patients), images=tuple(images), **facts)
