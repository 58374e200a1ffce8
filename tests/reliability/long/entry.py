"""A cold start of a sabotaged command: `python -m tests.reliability.long.entry pretrain byol --steps=8 …`.

As entrypoints/<stage>.py does it; the workers of a sweep import this module too, and are sabotaged by that.
"""

from __future__ import annotations

import sys

from tests.reliability.long import saboteur  # noqa: F401 installs itself where the environment asks for it

if __name__ == "__main__":
    from sslseg.launch import main

    stage, *words = sys.argv[1:]
    method = words.pop(0) if not words[0].startswith("--") else None
    main(stage, words, method)
