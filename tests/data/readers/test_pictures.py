"""Pictures as they are shown: transparency, orientation, GIF, depth; and what a file cannot hold."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from PIL.TiffImagePlugin import AppendingTiffWriter

from sslseg.config.names import DataError
from sslseg.data.folders import scans
from sslseg.data.readers import formats, pictures
from sslseg.data.source import Assumption
from sslseg.datasets import images
from tests.fixtures.small_pictures import IMAGE, TRUTH, labelled, rgba, told


def test_an_image_that_is_all_in_its_transparency_is_no_image(tmp_path):
    rgba(np.zeros((5, 7, 3)), IMAGE).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a.png: wanted an image, got one colour of differing transparency"):
        pictures.read(tmp_path / "a.png")
    rgba(np.dstack([IMAGE] * 3), IMAGE).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.png")[:, 0], np.stack([IMAGE] * 3))


def test_that_an_image_loses_its_transparency_is_said(tmp_path):
    heard_first: list[Assumption] = []
    for alpha, said in (
        (np.full((5, 7), 255), []),
        (np.where(TRUTH, 255, 0), [f"{(TRUTH == 0).mean():.0%} of its pixels"]),
    ):
        rgba(np.dstack([IMAGE] * 3), alpha).save(tmp_path / "a.png")
        pictures.read(tmp_path / "a.png", heard_first.append)
        assert [note.text.partition(" are")[0] for note in heard_first] == said
    (scan,) = scans.find(tmp_path, tmp_path.with_name("out"))
    heard: list[Assumption] = []
    list(scans.volumes(scan, 3, note=heard.append))
    assert images.read(images.find(tmp_path)[0]).notes == tuple(heard) == tuple(heard_first)


# ---------------------------------------------------------------- orientation
def tagged(path: Path, array: np.ndarray, turn: int) -> Path:
    """Pixels as they are stored, and EXIF's word on how to show them."""
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = turn
    how = {"tiffinfo": {pictures.ORIENTATION: turn}} if path.suffix == ".tif" else {"exif": exif}
    Image.fromarray(array).save(path, **how, **({"quality": 100} if path.suffix == ".jpg" else {}))
    return path


TURNED = r"EXIF turns it when it is shown.*mogrify -auto-orient.*exiftool -Orientation="


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_without_a_mask_is_read_as_it_is_shown(tmp_path, ending, turn):
    path = tagged(tmp_path / f"a{ending}", IMAGE, turn)
    with Image.open(io.BytesIO(path.read_bytes())) as picture:  # TIFF Pillow turns unasked
        shown = np.asarray(picture if ending == ".tif" else ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(pictures.read(path)[0, 0], shown)


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_what_exif_turns_is_neither_trained_on_nor_segmented(tmp_path, ending, turn):
    """Nobody knows where a mask lies on it: a picture that is stored as it is shown is read."""
    tagged(tmp_path / f"a{ending}", IMAGE, turn)
    (scan,) = scans.find(tmp_path, tmp_path.with_name("out"))
    Image.fromarray(TRUTH).save(tmp_path / "a_mask.png")
    if turn == 1:
        np.testing.assert_array_equal(labelled(tmp_path), TRUTH)
        assert len(list(scans.volumes(scan, 1))) == 1
        return
    with pytest.raises(DataError, match=rf"a{ending}: {TURNED}"):
        labelled(tmp_path)
    with pytest.raises(DataError, match=rf"a{ending}: {TURNED}"):
        list(scans.volumes(scan, 1))


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("keys", [{}, {"threshold": 0}])
def test_a_mask_that_exif_turns_is_refused(tmp_path, ending, keys):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    tagged(tmp_path / f"a_mask{ending}", TRUTH, 3)
    told(tmp_path, **keys)
    with pytest.raises(DataError, match=rf"a_mask{ending}: {TURNED}"):
        labelled(tmp_path)


def test_colours_of_16_bit_that_exif_turns_are_refused(tmp_path):
    deep = (np.arange(105).reshape(5, 7, 3) * 600).astype(np.uint16)
    ok, data = cv2.imencode(".png", deep[..., ::-1])
    assert ok
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6
    chunk = exif.tobytes().removeprefix(b"Exif\0\0")
    out = io.BytesIO()
    out.write(data.tobytes()[:33])
    PngImagePlugin.putchunk(out, b"eXIf", chunk)
    out.write(data.tobytes()[33:])
    (tmp_path / "a.png").write_bytes(out.getvalue())
    with pytest.raises(DataError, match=TURNED):
        pictures.read(tmp_path / "a.png")


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg"])
def test_a_mask_that_predict_writes_lies_on_its_image(tmp_path, ending):
    (tmp_path / "in").mkdir()
    tagged(tmp_path / "in" / f"a{ending}", IMAGE, 1)
    (scan,) = scans.find(tmp_path / "in", tmp_path / "out")
    ((_, seen, _),) = scans.volumes(scan, 1)
    mask = (seen[0] > 100).astype(np.uint8)
    scans.write(scan, [mask], (1.0, 1.0, 1.0), "run x")
    np.testing.assert_array_equal(formats.read_labels(scan.target, mask.shape), mask)
    np.testing.assert_array_equal(np.asarray(Image.open(scan.target)), mask[0])
    with pytest.raises(DataError, match="wanted an image, got a mask that sslseg has written"):
        formats.read_channels([scan.target])


# ---------------------------------------------------------------- GIF
def test_gif_images_and_masks(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "a.gif")
    Image.fromarray(TRUTH * 255).save(tmp_path / "a_mask.gif")
    volume = images.read(images.find(tmp_path)[0])
    np.testing.assert_array_equal(volume.image[0, 0], IMAGE)
    np.testing.assert_array_equal(volume.label[0], TRUTH)
    pages = [Image.fromarray(np.full((5, 7), v, np.uint8)) for v in (0, 100, 255)]
    pages[0].save(tmp_path / "b.gif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(pictures.read(tmp_path / "b.gif")[0, :, 0, 0], [0, 100, 255])
    for palette in ([[9, 9, 9], [200, 200, 200]], [[9, 9, 9], [200, 0, 0]]):  # greys, and a colour
        indexed = Image.fromarray(TRUTH.astype(np.uint8), "P")
        indexed.putpalette(np.array(palette, np.uint8).tobytes())
        indexed.save(tmp_path / "c.gif")
        shown = np.moveaxis(np.array(palette)[TRUTH.astype(int)], -1, 0)[:, None]
        channels = 1 if palette[1][1] else 3
        np.testing.assert_array_equal(pictures.read(tmp_path / "c.gif"), shown[:channels])
    (scan,) = scans.find(tmp_path / "a.gif", tmp_path / "out")
    scans.write(scan, [TRUTH[None]], (1.0, 1.0, 1.0), "")
    assert scan.target.name == "a.png"


def test_a_photograph_with_a_second_view_is_one_picture(tmp_path):
    first, second = Image.fromarray(IMAGE), Image.fromarray(IMAGE[:2])
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=100)
    assert pictures.read(tmp_path / "a.jpg").shape == (1, 1, 5, 7)


# ---------------------------------------------------------------- damaged files
def test_messages_speak_of_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not a picture at all")
    with pytest.raises(
        DataError, match=r"a.png: cannot be read as a picture: it is of none of the formats"
    ) as e:
        pictures.read(tmp_path / "a.png")
    assert "BytesIO" not in str(e.value)
    (tmp_path / "b.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match=r"b.png: wanted the file, got a pointer of Git LFS"):
        pictures.read(tmp_path / "b.png")


@pytest.mark.parametrize("ending", [".tif", ".gif", ".png"])
def test_pages_of_a_small_file_do_not_take_the_memory(tmp_path, ending, monkeypatch):
    """Pages that share their bytes: the number of pages is bounded by what a file of this size can hold."""
    monkeypatch.setattr(pictures, "ALWAYS", 1 << 16)
    page = Image.fromarray(np.zeros((300, 300), np.uint8))
    others = [Image.fromarray(np.full((300, 300), 1 + v % 2, np.uint8)) for v in range(60)]
    how = {"compression": "tiff_lzw"} if ending == ".tif" else {}
    page.save(tmp_path / f"a{ending}", save_all=True, append_images=others, **how)
    held = (tmp_path / f"a{ending}").stat().st_size
    monkeypatch.setattr(pictures, "MOST_PACKED", 61 * 90_000 // held - 1)
    with pytest.raises(DataError, match=r"bytes of pixels in a file of"):
        pictures.read(tmp_path / f"a{ending}")
    monkeypatch.setattr(pictures, "MOST_PACKED", 4 * 61 * 90_000 // held + 4)
    assert pictures.read(tmp_path / f"a{ending}").shape[1] == 61


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("ImageJ=1.53\nimages=4\nchannels=2\nslices=2\n", "channels=2"),
        ("ImageJ=1.53\nimages=4\nframes=4\n", "frames=4"),
        ('<OME><Pixels SizeZ="1" SizeC="4" SizeT="1"/></OME>', 'SizeC="4"'),
        ("ImageJ=1.53\nimages=4\nslices=4\n", ""),
    ],
)
def test_pages_that_are_channels_or_moments_are_no_slices(tmp_path, told, says):
    pages = [Image.fromarray(IMAGE + k) for k in range(4)]
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], tiffinfo={270: told})
    if not says:
        assert pictures.read(path).shape == (1, 4, 5, 7)
        return
    with pytest.raises(DataError, match=f"a.tif: .*pages are no slices alone, it says {says}"):
        pictures.read(path)
    with AppendingTiffWriter(str(path), True) as file:  # as ImageJ writes it: the first page alone says so
        for k, page in enumerate(pages):
            page.save(file, format="TIFF", tiffinfo={} if k else {270: told})
            file.newFrame()
    with pytest.raises(DataError, match=f"a.tif: .*pages are no slices alone, it says {says}"):
        pictures.read(path)
    Image.fromarray(np.dstack([IMAGE] * 3)).save(path, tiffinfo={270: told})  # one page of colours
    assert pictures.read(path).shape == (3, 1, 5, 7)


# ---------------------------------------------------------------- depth
DEEP = (np.arange(35).reshape(5, 7) * 1800).astype(np.uint16)


WIDE = DEEP.astype(np.int64) << 16


COLOURS = np.dstack([DEEP, DEEP[::-1], DEEP[:, ::-1]])  # blue, green, red


def white_is_zero(path: Path) -> None:
    Image.fromarray(DEEP).save(path, tiffinfo={pictures.PHOTOMETRIC: 1})
    entry = np.array([pictures.PHOTOMETRIC, 3], "<u2").tobytes() + np.array([1, 1], "<u4").tobytes()
    data = path.read_bytes()
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, entry[:8] + bytes(4)))


def grey_with_alpha(path: Path) -> None:
    planes = np.stack([DEEP, np.full_like(DEEP, 65535)], -1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in planes)
    head = struct.pack(">IIBBBBB", 7, 5, 16, pictures.GREY_AND_ALPHA, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [len(d).to_bytes(4) + kind + d + zlib.crc32(kind + d).to_bytes(4) for kind, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.parametrize(
    ("name", "made", "wanted"),
    [
        ("pages.tif", lambda p: cv2.imwritemulti(str(p), [COLOURS, COLOURS + 9]), np.stack([COLOURS, COLOURS + 9])[..., ::-1]),
        ("unsigned.tif", lambda p: cv2.imwrite(str(p), WIDE.astype(np.uint32)), WIDE[None, ..., None]),
        ("white.tif", white_is_zero, 65535 - DEEP[None, ..., None]),
        ("grey.png", grey_with_alpha, DEEP[None, ..., None]),
    ],
)  # fmt: skip
def test_deep_pictures_keep_their_values(tmp_path, name, made, wanted):
    made(tmp_path / name)
    np.testing.assert_array_equal(pictures.read(tmp_path / name), np.moveaxis(wanted, -1, 0))


def test_pictures_of_numbers_that_are_none(tmp_path):
    Image.fromarray(np.full((5, 7), np.nan, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a.tif: wanted finite pixels"):
        pictures.read(tmp_path / "a.tif")
    cv2.imwrite(str(tmp_path / "b.tif"), np.ones((5, 7)))
    with pytest.raises(DataError, match=r"b.tif: .* save it with 8, 16 or 32 bits a pixel"):
        pictures.read(tmp_path / "b.tif")
