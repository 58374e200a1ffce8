"""The short cuts of `encode` against what they stand for, to the bit."""

import hashlib

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from sslseg.config.names import DataError
from sslseg.data.slices import encode
from sslseg.data.slices.encode import (
    CODE_MAX,
    CODE_MIN,
    SHA256,
    XXH3,
    histogram,
    percentiles,
    quantise,
    voxel_digest,
    whole_numbers,
)
from sslseg.data.source import Volume
from sslseg.data.streams import stream

KINDS = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from((*KINDS, np.float32)),
    seed=st.integers(0, 2**31),
    size=st.integers(1, 400),
    spread=st.integers(1, 40_000),
)
def test_percentiles_of_integers_are_numpys(kind, seed, size, spread):
    info = np.iinfo(kind if kind is not np.float32 else np.int32)
    low = max(info.min, -20_000)
    image = (
        stream(seed, "image")
        .integers(low, min(low + spread, info.max), (2, 1, 1, size), endpoint=True)
        .astype(kind)
    )
    flat = image.reshape(2, -1).astype(np.int64)  # numpy's own difference of two int16 may overflow
    want_low, want_high = np.percentile(flat, (1, 99), axis=1)
    constant = want_high <= want_low
    got = percentiles(whole_numbers(image))
    assert np.array_equal(got[0], np.where(constant, flat.min(1), want_low))
    assert np.array_equal(got[1], np.where(constant, flat.max(1), want_high))


def test_percentiles_of_what_cannot_be_counted():
    rng = stream(0, "image")
    for image in (rng.normal(size=(1, 2, 9, 9)).astype(np.float32), rng.integers(0, 2**40, (1, 2, 9, 9))):
        got = np.ravel(percentiles(image))
        assert np.array_equal(got, np.percentile(image[0], (1, 99)))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int64, np.float32, np.float64])
def test_integers_are_their_own_codes(kind):
    image = stream(0, "image").integers(0, 200, (2, 3, 5, 7)).astype(kind)
    codes, scale, intercept = quantise(image)
    assert codes.dtype == np.int16
    assert np.array_equal(codes, image)
    assert np.array_equal(scale, [1, 1])
    assert np.array_equal(intercept, [0, 0])


def test_integers_beyond_int16_are_shifted():
    image = np.array([[[[0, 1, CODE_MAX - CODE_MIN]]]], np.uint16)
    codes, scale, intercept = quantise(image)
    assert codes.min() == CODE_MIN
    assert np.array_equal(codes * scale[0] + intercept[0], image)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize(
    ("way", "number", "made"), [(SHA256, "<i8", hashlib.sha256), (XXH3, "<i2", xxhash.xxh3_128)]
)
def test_the_digest_is_that_of_the_whole_array_whatever_its_layout(kind, way, number, made):
    image = stream(0, "image").integers(0, 200, (2, 3, 5, 7)).astype(kind)
    want = made(f"(2, 3, 5, 7){number}".encode() + image.astype(number).tobytes()).hexdigest()
    assert voxel_digest(image, way) == want
    assert voxel_digest(np.asfortranarray(image), way) == want
    broken = image + np.float32(0.5)
    assert voxel_digest(broken, way) == made(b"(2, 3, 5, 7)<f4" + broken.astype("<f4").tobytes()).hexdigest()


def test_the_digest_of_integers_that_no_16_bits_hold():
    wide = np.array([[[[-1, 40_000]]]], np.int32)
    want = xxhash.xxh3_128(b"(1, 1, 1, 2)<i8" + wide.astype("<i8").tobytes()).hexdigest()
    assert voxel_digest(wide) == voxel_digest(wide.astype(np.float32)) == want
    assert voxel_digest(wide % 65_536) != voxel_digest(
        (wide % 65_536).astype(np.int16)
    )  # wrapped, it is another image


def test_floats_that_are_whole_numbers_become_integers():
    whole = np.array([[-0.0, 3, CODE_MAX]], np.float32)
    assert whole_numbers(whole).dtype == np.int16
    assert whole_numbers(whole + 1).dtype == np.int64
    for other in (whole + 0.5, whole * np.float32(1e30), np.array([0, np.nan], np.float32)):
        assert whole_numbers(other) is other


@pytest.mark.parametrize("exact", [2**24, 0])  # above it, numpy counts
@pytest.mark.parametrize("size", [3, 256, 40_000])
def test_a_histogram_is_numpys(size, exact, monkeypatch):
    monkeypatch.setattr(encode, "EXACT", exact)
    values = stream(0, "image").integers(0, size, (3, 5, 7)).astype(np.uint32)
    assert np.array_equal(histogram(values, size), np.bincount(values.ravel(), minlength=size))


@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_mean_and_deviation_are_numpys(kind, channels):
    image = stream(0, "image").integers(-9 if kind != np.uint8 else 0, 250, (channels, 3, 5, 7)).astype(kind)
    got = encode.encode(Volume(image, None, (1.0, 1.0, 1.0)), 0, 1).stats
    assert (got["minimum"], got["maximum"], got["mean"]) == (
        image.min(),
        image.max(),
        image.mean(dtype=float),
    )
    assert got["sd"] == pytest.approx(image.std(dtype=float), rel=1e-13)


@pytest.mark.parametrize(("shape", "mm"), [((100, 100), 0.0007), ((10, 10), 30.0)])
def test_a_unit_that_leaves_nothing_or_makes_too_much_is_refused(shape, mm):
    with pytest.raises(DataError, match=r"pixels of .* mm are .* at spacing=1.5: is the unit mm\?"):
        encode.encode(Volume(np.zeros((1, 1, *shape), np.int16), None, (1.0, mm, mm)), 1.5, 1)


@pytest.mark.parametrize("far", [1e300, -1e300])
def test_values_beyond_32_bits_are_refused_on_either_side(far):
    image = np.zeros((1, 1, 4, 4))
    image[0, 0, 0] = far, 0.5, 1.5, 2.5
    with pytest.raises(DataError, match=r"some beyond 3.4e\+38: a fill value\?"):
        encode.encode(Volume(image, None, (1.0, 1.0, 1.0)), 0.0, 1)


@pytest.mark.parametrize("end", [2.0**53, 2.0**60])
def test_floats_that_64_bits_do_not_tell_apart_stay_floats(end):
    for values in ([-end, 0.0], [0.0, end]):
        assert whole_numbers(np.array(values)).dtype == np.float64


@pytest.mark.parametrize(
    ("low", "high", "number"), [(-32768, 32767, "<i2"), (-32769, 0, "<i8"), (0, 32768, "<i8")]
)
def test_integers_of_16_bits_are_digested_as_such_to_their_ends(low, high, number):
    image = np.array([low, high]).reshape(1, 1, 1, 2)
    wanted = xxhash.xxh3_128(f"{image.shape}{number}".encode() + image.astype(number).tobytes())
    assert voxel_digest(image) == wanted.hexdigest()


def test_the_deviation_of_fractions_is_summed_in_64_bits():
    image = (1e6 + np.random.default_rng(0).random((2, 3, 40, 50))).astype(np.float32)
    found = encode.encode(Volume(image, None, (1.0, 1.0, 1.0)), 0.0, 1).stats
    assert found["sd"] == pytest.approx(image.astype(np.float64).std(), rel=1e-9)
    assert found["mean"] == pytest.approx(image.astype(np.float64).mean(), rel=1e-12)
