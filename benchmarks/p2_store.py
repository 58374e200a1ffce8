"""P2: from 4D NIfTI files to slices that can be reached at random, and the second start.

nibabel is the reader of record: what is read here is compared with its `get_fdata`, voxel by voxel, first. .gz files are
unpacked by isal; the row's versions say which.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks import subjects
from benchmarks.compare import Answer, Question, compare, cpu

PATIENTS = 2


def files(root: Path) -> list[Path]:
    """All images and masks of an ACDC tree."""
    return sorted(root.glob("*/*.nii.gz"))


def by_nibabel(path: Path) -> np.ndarray:
    """The whole file as int16, slices contiguous: [Z, Y, X] or [T, Z, Y, X]."""
    return np.ascontiguousarray(nib.load(path).get_fdata(caching="unchanged").T, np.int16)


def by_us(path: Path) -> np.ndarray:
    """The same."""
    from sslseg.data.readers import nifti, nifti_header

    nifti._decoded.cache_clear()  # a file is kept for the next of its frames
    array, _ = nifti.read_channels(path)
    return np.ascontiguousarray(array if nifti_header.count_frames(path) > 1 else array[0], np.int16)


def check_reading(root: Path) -> None:
    """Every file of a tree, equal to what nibabel gives."""
    for path in files(root):
        assert np.array_equal(by_us(path), by_nibabel(path)), path.name


def check_store(root: Path, folder: Path) -> None:
    """Every frame in the store, equal to what nibabel gives for the file that it is from."""
    from sslseg.data.slices import prepare

    store = prepare.prepare("acdc", root, folder, spacing=0, progress=False)
    volumes = store.volume_table
    for number, (image, position) in enumerate(zip(volumes["image"], volumes["position"], strict=True)):
        want = by_nibabel(root / image)
        rows = np.flatnonzero(store.index["volume"] == number)
        stored = np.stack([store.codes(row)[0] for row in rows])
        assert np.array_equal(stored, want if position < 0 else want[position]), (image, position)


def unpack(path: Path) -> None:
    """The least that any reader does: what zlib or isal takes."""
    from sslseg.data.readers import nifti_header

    with nifti_header.unpacked(path) as file:
        file.read()


def measure_reading() -> Answer:
    """Decoding alone, and unpacking alone beside it (`unpacking` in the row's seconds)."""
    cines = sorted(subjects.cohort(PATIENTS, cine=PATIENTS).glob("*/*_4d.nii.gz"))
    check_reading(cines[0].parents[1])
    number = sum(int(np.prod(nib.load(path).shape[2:])) for path in cines)

    def each(read: Callable[[Path], np.ndarray]) -> Callable[[], None]:
        def one_after_the_other() -> None:  # as a store is written: a file is let go before the next
            for path in cines:
                read(path)

        return one_after_the_other

    variants = {"ours": each(by_us), "peer": each(by_nibabel), "unpacking": each(unpack)}
    return compare(variants, rounds=15).answer(per_second=number)


def both(root: Path) -> dict[str, Callable[[], object]]:
    """Everything (hashes of files and voxels, percentiles, checks, index, fingerprint, contact sheet), and .npy files."""
    from sslseg.data.slices import prepare

    store, saved = subjects.folder(), subjects.folder()

    def ours() -> None:
        shutil.rmtree(store)  # as np.save takes the place of what is there
        prepare.prepare("acdc", root, store, spacing=0, progress=False)

    def peer() -> None:
        for path in files(root):
            np.save(saved / f"{path.name}.npy", by_nibabel(path))

    check_store(root, subjects.folder())
    return {"ours": ours, "peer": peer}


def measure_store() -> Answer:
    """In CPU seconds."""
    root = subjects.cohort(PATIENTS, cine=PATIENTS)
    frames = sum(nib.load(path).shape[3] for path in root.glob("*/*_4d.nii.gz"))
    return compare(both(root)).answer(per_second=frames * nib.load(files(root)[0]).shape[2])


def measure_store_by_the_clock() -> Answer:
    """The same in seconds that pass, with the threads that the store is written by."""
    times = compare(both(subjects.cohort(PATIENTS, cine=PATIENTS)), clock=time.perf_counter)
    return times.answer(cores=len(os.sched_getaffinity(0)), load=os.getloadavg()[0])


def measure_second_start() -> Answer:
    """The store is there: files are looked at (path, size, time), none is opened."""
    from sslseg.data.slices import prepare

    root, kept = subjects.cohort(PATIENTS, cine=PATIENTS), subjects.folder()
    check_store(root, kept)
    times = compare({"again": lambda: prepare.prepare("acdc", root, kept, spacing=0, progress=False)})
    taken = times.seconds["again"]
    return Answer(
        times.median("again"), (min(taken), max(taken)), len(taken), {"ours": times.median("again")}
    )


QUESTIONS = (
    Question("P2", "4D NIfTI to int16 slices in memory", "nibabel get_fdata", measure_reading, 3.5, 6, ("nibabel", "isal")),
    Question("P2", "4D NIfTI to slice store: everything in it", "nibabel get_fdata, saved as .npy",
             measure_store, 3.5, 6, ("nibabel", "isal")),
    Question("P2", "the same by the clock, threads and all", "nibabel get_fdata, saved as .npy, by the clock",
             measure_store_by_the_clock, 1.5, 6, ("nibabel", "isal")),
    Question("P2", "seconds of the second start", "the store that is there", measure_second_start, 0.1, 0.02,
             ("pandas",), at_most=True),
)  # fmt: skip


def main(acdc: str, patients: str = "20", rounds: str = "15") -> None:
    """The whole store of so many patients of ACDC, as they are on disk, cines left out, in CPU seconds and by the clock."""
    root = subjects.folder()
    for folder in sorted(Path(acdc).glob("patient*"))[: int(patients)]:
        (root / folder.name).mkdir()
        for file in folder.iterdir():
            if "_4d" not in file.name:
                (root / folder.name / file.name).symlink_to(file.resolve())
    for name, clock in (("CPU", cpu), ("clock", time.perf_counter)):
        told = compare(both(root), rounds=int(rounds), clock=clock).answer()
        spread = " to ".join(f"{end:.2f}" for end in told.spread)
        print(f"{len(files(root))} files, {name}: {told.ratio:.2f} ({spread}), {told.seconds}")


if __name__ == "__main__":
    main(*sys.argv[1:])
