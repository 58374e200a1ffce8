"""What is on unless the environment says off: parts that change how fast a result is there, not what it is."""

import os

from sslseg.config.names import ParamError


def on(name: str) -> bool:
    """Whether a variable of the environment leaves its part on.

    Raises:
        ParamError: it says neither on nor off.
    """
    said = os.environ.get(name, "") or "on"
    if said not in ("on", "off"):
        raise ParamError(f"{name}: wanted on or off, got {said!r}")
    return said == "on"
