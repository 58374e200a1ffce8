"""A step of every method beside one of BYOL: `python -m benchmarks.methods`, into docs/reference/methods.md.

Preset cpu on simulated scenes, one thread, the training loop's own step and none of the making of views; methods take
turns, and CPU time is counted, so that what else the machine does counts little. The number is the median of a
method's turns over BYOL's.
"""

import re
from pathlib import Path
from statistics import median
from time import process_time

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "methods.md"
TURNS, WARM = 5, 1


def steps(name: str):
    """A call that does the next step of a method; the encoder, batch and views of its preset cpu."""
    from sslseg.config import flags, plugins
    from sslseg.models import encoder
    from sslseg.testing import methods
    from sslseg.training import loop

    module = plugins.load("methods", name)
    p = flags.resolve(module.Params(preset="cpu"))
    wanted = module.Method.wanted(p)
    method = module.Method(encoder.build(p.architecture, wanted.reads(wanted.channels or 1), 0), p, seed=0)
    training, number = loop.pretraining(method, p), iter(range(p.steps))
    batch = methods.made(name, p, batch_size=p.batch_size)
    return lambda: training.step(next(number), batch)


def measured() -> dict[str, float]:
    """Method -> seconds of a step over those of BYOL."""
    import torch

    from sslseg.config import plugins

    torch.set_num_threads(1)
    calls = {name: steps(name) for name in plugins.own("methods")}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(WARM + TURNS):
        for name, call in calls.items():
            begun = process_time()
            call()
            if turn >= WARM:
                seconds[name].append(process_time() - begun)
    return {name: median(times) / median(seconds["byol"]) for name, times in seconds.items()}


def write(page: str, costs: dict[str, float]) -> str:
    """The page with the column of costs filled in."""
    for name, cost in costs.items():
        page = re.sub(
            rf"^(\| `{name}` \|.*\| )x[\d.]+( \|[^|]*\|)$",
            rf"\g<1>x{cost:.2f}\g<2>",
            page,
            flags=re.MULTILINE,
        )
    return page


if __name__ == "__main__":
    PAGE.write_text(write(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")
