"""Images of any format to be segmented: which files make one, where its mask goes, its voxels.

A mask has its image's format and geometry, with two exceptions: a DICOM series gets NIfTI, and a format
that loses pixels or keeps its voxels in a second file gets its lossless or single-file sister.
"""

import fnmatch
import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslseg.config.files import apart
from sslseg.config.names import DataError, ParamError
from sslseg.data.files import below
from sslseg.data.folders import roles, series, settings
from sslseg.data.readers import dicom_series, dicom_volume, formats, nifti, nifti_masks, pictures
from sslseg.data.readers.dicom_series import Frame
from sslseg.data.source import Fault, Note, Spacing, keeping, stop, unsaid

# ending of an image, "" of a DICOM series -> of its mask, where that is another
WRITTEN = {"": ".nii.gz", ".nhdr": ".nrrd", ".mhd": ".mha"} | dict.fromkeys(
    (".bmp", ".jpg", ".jpeg", ".gif"), ".png"
)


@dataclass(frozen=True)
class Scan:
    """One image, or all time frames of a 4D file."""

    files: tuple[Path, ...]  # its channels, or the slices of a series
    target: Path  # where the mask goes
    root: Path  # the folder that was searched, where `sslseg.json` may lie

    @property
    def frames(self) -> int | None:
        """Time frames of a NIfTI file of several; None of others."""
        many = formats.count_frames(self.files[0])
        return many if many > 1 else None

    @property
    def series(self) -> bool:
        """Whether its files are DICOM."""
        return formats.stem(self.files[0].name) is None


def find(
    source: Path,
    output: Path,
    pattern: str = "*",
    channels: int = 1,
    fault: Fault = stop,
    aside: Callable[[list[Path]], None] = lambda masks: None,
) -> list[Scan]:
    """What lies at or below `source`; masks keep name and place below `output`. Opens no voxels.

    Of a folder, what is known to be a mask of another file is left out (`roles.known`).

    Args:
        pattern: of file names; a file given by its own name need not match.
        channels: of the model. Files <case>_0000 … of that number are one image, and its mask is <case>.
        fault: told of what makes no image.
        aside: told of the masks that are left out.

    Raises:
        ParamError: see `files.apart`; nothing to segment, or a mask that would be an input or another's mask.
        DataError: by `fault`: channels are missing, or a DICOM series is damaged.
    """
    source, output = apart(source, output)
    home = source if source.is_dir() else source.parent
    files = _files(source, channels, fault)
    files = [f for f in files if source.is_file() or fnmatch.fnmatch(f.name, pattern)]
    named = [f for f in files if formats.stem(f.name) is not None]
    faults: list[DataError] = []
    slices = [f for f in files if formats.stem(f.name) is None and dicom_series.looks_like(f)]
    frames = dicom_series.volumes(slices, keeping(faults, fault)) if slices else []
    masks, joined = _roles(home, named, channels, frames) if source.is_dir() else ([], [])
    if masks and len(masks) == len(named) + len(slices):
        every = f"that match {pattern!r} are masks by their names, like {masks[0].name}"
        raise ParamError(f"input: all images of {source} {every}; a file given itself is segmented anyway")
    if masks:
        aside(masks)
    taken = {file for paths, _ in joined for file in paths} | set(masks)
    found = _named([f for f in named if f not in taken], home, output, channels, fault)
    found += [_scan(paths, name, home, output) for paths, name in joined]
    found += _series([frame for frame in frames if frame.files[0] not in taken], home, output)
    if not found and not faults and not named:
        read = f"{', '.join(formats.SUFFIXES)} or DICOM"
        raise ParamError(f"input: {source} holds no image that matches {pattern!r} ({read})")
    inputs, writers = {f.resolve() for f in files}, dict[Path, Scan]()
    for scan in found:
        if scan.target.resolve() in inputs:
            raise ParamError(f"output: {scan.target} is itself an input and would be overwritten")
        if (other := writers.setdefault(scan.target, scan)) is not scan:
            both = f"{other.files[0]} and {scan.files[0]}"
            raise ParamError(f"input: {both} would both write the mask {scan.target}")
    return found


def _roles(
    home: Path, named: list[Path], channels: int, frames: Sequence[Frame]
) -> tuple[list[Path], list[tuple[tuple[Path, ...], str]]]:
    """Masks, and every image whose channels a pattern joins, named as its first: evaluate looks for that."""
    stacked, held = series.named(home, frames, named) if frames else ({}, {})
    own = {f.relative_to(home).as_posix(): (f,) for f in named}
    masks, cases = roles.known(home, sorted(own | held | stacked))
    whole = [case for case in cases if len(case.images) == channels and own.keys() >= set(case.images)]
    joined = [(tuple(home / f for f in c.images), formats.split(Path(c.images[0]).name)[0]) for c in whole]
    # a word in the name of its folder makes no mask of a series
    told = stacked if settings.settings(home).pairs else {}
    return sorted({file for name in masks for file in (told | held | own).get(name, ())}), joined


def _files(source: Path, channels: int, fault: Fault) -> list[Path]:
    if source.is_dir():
        return below(source, fault)
    stem, ending = formats.split(source.name)
    match = formats.CHANNEL.fullmatch(stem) if ending and channels > 1 else None
    if match is None:
        return [source]
    return sorted(source.parent.glob(f"{glob.escape(match[1])}_[0-9][0-9][0-9][0-9]{ending}"))


# ---------------------------------------------------------------- which files make an image
def _named(files: list[Path], home: Path, output: Path, channels: int, fault: Fault) -> list[Scan]:
    groups: dict[tuple[Path, str, str], dict[int, Path]] = {}
    found = []
    for path in files:
        stem, ending = formats.split(path.name)
        if match := formats.CHANNEL.fullmatch(stem):
            groups.setdefault((path.parent, match[1], ending), {})[int(match[2])] = path
        else:
            found.append(_scan((path,), stem, home, output))
    for (_, case, _), held in groups.items():
        paths = tuple(held[n] for n in sorted(held))
        colour = list(held) == [0] and paths[0].name.lower().endswith(pictures.SUFFIXES)
        if sorted(held) == list(range(channels)) or colour:
            found.append(_scan(paths, case, home, output))
        elif channels == 1 or 0 not in held or len(held) > channels:  # numbers that are no channels
            found += [_scan((p,), formats.split(p.name)[0], home, output) for p in paths]
        else:
            numbers = ", ".join(f"_{n:04d}" for n in sorted(held))
            fault(paths[0], DataError(f"{paths[0]}: wanted {channels} channels _0000 …, got {numbers}"))
    return sorted(found, key=lambda scan: scan.files)


def _scan(files: tuple[Path, ...], case: str, home: Path, output: Path) -> Scan:
    ending = formats.split(files[0].name)[1]
    place = output / files[0].parent.relative_to(home)
    return Scan(files, place / (case + WRITTEN.get(ending.lower(), ending)), home)


def _series(frames: Sequence[Frame], home: Path, output: Path) -> list[Scan]:
    """A DICOM series is named by its SeriesInstanceUID, which names no person."""
    several = {f.series for f in frames if f.number > 1}
    named = [(f.files, f.series, f.number if f.series in several else None) for f in frames]
    return [_scan(files, dicom_series.mask_name(uid, number), home, output) for files, uid, number in named]


# ---------------------------------------------------------------- in and out
Frames = Iterator[tuple[int | None, np.ndarray, Spacing | None]]


def volumes(scan: Scan, channels: int, grey: bool = False, note: Note = unsaid) -> Frames:
    """Frame (None of what has no time), image [C, Z, Y, X] and spacing (z, y, x) in mm, None if not said.

    Args:
        channels: of the model: the fourth axis of NIfTI is time for one channel, else it is the channels.
        grey: make one channel of colour pictures, as the training data were.
        note: told of what a picture loses.

    Raises:
        DataError: a damaged file, channels of different shape or spacing, or a picture that EXIF turns.
    """
    first = scan.files[0]
    if channels == 1 and scan.frames is not None:
        for index in range(scan.frames):
            array, step = nifti.read_volume(first, index)
            yield index, array[None], step
        return
    if scan.series:
        array, step = dicom_volume.read(scan.files, settings.settings(scan.root).spacing)
        yield None, array[None], step
        return
    for file in filter(formats.pictured, scan.files):  # its mask could not be laid on it
        pictures.check_upright(file)
    image, spacing = formats.read_channels(scan.files, settings.settings(scan.root).placed, note)
    image = pictures.as_grey(image) if grey and formats.pictured(first) else image
    yield None, image, spacing or _told(scan)


def _told(scan: Scan) -> Spacing | None:
    """Spacing of pictures that a file beside them says: nnU-Net's <case>.json, or sslseg.json."""
    first, case = scan.files[0], formats.stem(scan.target.name)
    own = settings.sidecar(first, case) if case and formats.stem(first.name) != case else None
    return own or settings.settings(scan.root).spacing


def write(scan: Scan, masks: list[np.ndarray], spacing: Spacing, note: str) -> None:
    """Write the mask: uint8 [Z, Y, X] of each frame of `volumes`.

    Raises:
        DataError: a file that is no mask of ours lies there.
    """
    if scan.series:
        affine = dicom_volume.affine(scan.files, settings.settings(scan.root).spacing)
        nifti_masks.write_new(scan.target, masks[0], spacing, affine, note)
    else:
        mask = np.stack(masks) if scan.frames == len(masks) else masks[0]
        formats.write_mask(scan.target, mask, scan.files[0], note)
