"""Two augmented views a slice: this project's way, and solo-learn's, rebuilt because it cannot be installed."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import subjects
from benchmarks.compare import Answer, compare

BATCH = 64
CROP, FLIP, JITTER, STRENGTH = (0.08, 1.0), 0.5, 0.8, 0.2  # preset `paper`
ONE_LEVEL = 1.0  # grey level of 255
ROUNDS = 31  # a call is a fifth of a second at most


def law(size: int) -> Any:
    """The views of preset `paper`, at any size."""
    from sslseg.data.views.draw import ViewRanges

    return ViewRanges(size, CROP, FLIP, STRENGTH, STRENGTH, JITTER)


def ours(store: Any, size: int) -> Callable[[], tuple[np.ndarray, ...]]:
    """A call that makes the views of one batch, as the training loop asks for them."""
    from sslseg.data.slices.intensity import fit
    from sslseg.data.views import batches

    rows = np.arange(len(store))
    intensity, views = fit(store, rows), law(size)
    steps, memory = iter(range(1_000_000)), batches.memory(BATCH, store.channels, [size] * 2)
    for view in (view for views in memory for view in views):
        view.fill(0)  # touched once, as it is after the first steps of a training

    def batch() -> tuple[np.ndarray, ...]:
        step = next(steps)
        out = memory[step % len(memory)]
        return batches.pretrain_batch(
            store, rows, views, intensity, seed=0, step=step, batch_size=BATCH, out=out
        ).views

    return batch


def sololearn(store: Any, size: int) -> Callable[[], list[Any]]:
    """The same from pictures in memory, per sample, by PIL and torchvision, collated.

    vturrisi/solo-learn 1.0.6 `solo/utils/pretrain_dataloader.py` (in later versions `solo/data/…`, at
    2aa1e648: `CustomTransform`, `NCropAugmentation`). What the paper's settings turn off, and what does nothing to
    a grey picture (saturation, hue), is left out in the peer's favour; so is reading the picture.
    """
    import torch
    from PIL import Image
    from torchvision import transforms

    one = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, CROP, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomApply([transforms.ColorJitter(STRENGTH, STRENGTH)], p=JITTER),
            transforms.RandomHorizontalFlip(FLIP),
            transforms.ToTensor(),
            transforms.Normalize(0.5, 0.25),
        ]
    )
    pictures = [Image.fromarray(subjects.grey(store, row)) for row in range(BATCH)]

    def batch() -> list[Any]:
        samples = [[one(picture) for _ in range(2)] for picture in pictures]
        return torch.utils.data.default_collate(samples)

    return batch


def check_antialias(store: Any, size: int, rows: int = BATCH) -> float:
    """Mean difference to torchvision's antialiased crop and resize, grey levels of 255; asserted below one.

    Both get the same crops and do no more than that: no flip, no jitter.
    """
    import torch
    from torchvision.transforms.v2 import functional as tv

    from sslseg.data.slices.intensity import Intensity
    from sslseg.data.streams import stream
    from sslseg.data.views.draw import ViewRanges, draw
    from sslseg.data.views.render import render

    chosen = np.arange(min(rows, len(store)))
    height, width = (store.index[name].to_numpy()[chosen] for name in ("height", "width"))
    drawn = draw(ViewRanges(size, CROP, 0.0, 0.0, 0.0, 0.0), height, width, stream(0, "views"))
    levels = Intensity("encoder", (0.0,), (1 / 255,))  # 0 to 255
    mine = render(store, chosen, drawn, levels)
    low, high, scale, offset = (a[:, 0, None, None] for a in levels.affine(store, chosen))
    difference = []
    for i, row in enumerate(chosen.tolist()):
        picture = torch.from_numpy(np.clip(store.codes(row)[0], low[i], high[i]) * scale[i] + offset[i])[None]
        box = (int(v[i]) for v in (drawn.top, drawn.left, drawn.height, drawn.width))
        want = tv.resize(tv.crop(picture, *box), [size, size], antialias=True)
        difference.append(np.abs(mine[i] - want.numpy()).mean())
    mean = float(np.mean(difference))
    assert mean < ONE_LEVEL, f"{mean:.3f} grey levels from torchvision on average, wanted below {ONE_LEVEL}"
    return mean


def check_shape(views: Any, size: int) -> None:
    """Two batches of normalised float32 views."""
    assert len(views) == 2
    for view in map(np.asarray, views):
        assert view.shape == (BATCH, 1, size, size)
        assert view.dtype == np.float32
        assert np.isfinite(view).all()
        assert view.std() > 0.1  # of order one: normalised


def against_sololearn(size: int) -> Answer:
    """P1 and P1b."""
    store = subjects.store()
    difference = check_antialias(store, size)
    variants = {"ours": ours(store, size), "peer": sololearn(store, size)}
    for make in variants.values():
        check_shape(make(), size)
    return compare(variants, rounds=ROUNDS).answer(per_second=BATCH, grey_levels_from_torchvision=difference)
