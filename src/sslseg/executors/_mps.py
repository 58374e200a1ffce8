"""NVIDIA's MPS: several processes compute on a card side by side, instead of taking turns.

A daemon of the sweep's own, which is asked for by environment variables alone. It is tried before any worker gets them;
where it is not installed, does not start or serves nobody, workers share the card by turns. SSLSEG_MPS=off leaves it out.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sslseg.config import switches

CONTROL = "nvidia-cuda-mps-control"
SWITCH = "SSLSEG_MPS"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
TRY = "import torch; assert torch.ones(2, device='cuda').sum().item() == 2"
START_SECONDS, TRY_SECONDS = 30, 180


@contextmanager
def served(workers: int, devices: int) -> Iterator[dict[str, str]]:
    """What workers add to their environment: {} where there is nothing to share, or no MPS."""
    if workers <= devices or not devices or not _is_there():
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="sslseg-mps-") as folder:
        found = {PIPES: f"{folder}/pipes", LOGS: f"{folder}/logs"}
        for path in found.values():
            os.mkdir(path, mode=0o700)
        try:
            yield found if _begin(found) else {}
        finally:
            with suppress(OSError, subprocess.SubprocessError):
                _run([CONTROL], found, START_SECONDS, "quit\n")


def _is_there() -> bool:
    """Whether it is installed, not switched off, and nobody else's is in use already."""
    return switches.on(SWITCH) and shutil.which(CONTROL) is not None and PIPES not in os.environ


def _begin(found: dict[str, str]) -> bool:
    try:
        _run([CONTROL, "-d"], found, START_SECONDS)
        _run([sys.executable, "-c", TRY], found, TRY_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"sslseg: MPS is not used: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _run(command: list[str], environment: dict[str, str], seconds: int, said: str = "") -> None:
    own = os.environ | environment
    subprocess.run(command, env=own, input=said, text=True, capture_output=True, check=True, timeout=seconds)
