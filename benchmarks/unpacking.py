"""What unpacks .nii.gz files fastest: `python -m benchmarks.unpacking FOLDER`, of a folder of ACDC's layout.

Whole files in memory, in turn, CPU clock; peers that are not installed are left out.
"""

import gzip
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.compare import PeerMissingError, compare, need

PATIENTS = 9
ROUNDS = 15
WAYS: dict[str, Callable[[], Callable[[bytes], bytes]]] = {
    "zlib": lambda: gzip.decompress,
    "isal": lambda: need("isal.igzip").decompress,
    "libdeflate": lambda: need("deflate").gzip_decompress,
    "zlib-ng": lambda: need("zlib_ng.gzip_ng").decompress,
}


def main(folder: str) -> None:
    """Print a line a way."""
    packed = [p.read_bytes() for p in sorted(Path(folder).glob("*/*.nii.gz"))][: 4 * PATIENTS]
    found: dict[str, Callable[[], object]] = {}
    for name, way in WAYS.items():
        try:
            unpack = way()
        except PeerMissingError as error:
            print(f"{name}: {error}")
            continue
        assert [unpack(data) for data in packed] == [gzip.decompress(data) for data in packed]
        found[name] = partial(_each, unpack, packed)
    times = compare(found, rounds=ROUNDS)
    size = sum(len(gzip.decompress(data)) for data in packed) / 1e6
    print(f"{len(packed)} files, {size:.0f} MB")
    for name in found:
        print(
            f"{name}: {size / times.median(name):.0f} MB/s, x{times.median('zlib') / times.median(name):.2f}"
        )


def _each(unpack: Callable[[bytes], bytes], packed: list[bytes]) -> None:
    for data in packed:
        unpack(data)


if __name__ == "__main__":
    main(sys.argv[1])
