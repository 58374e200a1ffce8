"""Floor 1b: .gz files, unpacked by isal where the extra `fast` is installed, in half the time of zlib."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

try:
    from isal import igzip, isal_zlib
except ImportError:
    igzip = isal_zlib = None

# what a truncated, damaged or unreadable file raises while it is read
DAMAGED = (OSError, EOFError, zlib.error, *([isal_zlib.error] if isal_zlib else []))


def opened(path: Path) -> BinaryIO:
    """The unpacked content of a .gz file; its checksum is compared at the end of the content.

    Raises:
        one of DAMAGED, here or while it is read.
    """
    return (igzip or gzip).open(path)
