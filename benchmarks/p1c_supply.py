"""P1c: the same views from other libraries, each from memory and in the fast setting that it documents."""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import subjects, views
from benchmarks.compare import Answer, Question, compare, need
from benchmarks.views import BATCH, CROP, FLIP, JITTER, STRENGTH

SIZE = 224
MEAN, SD = 0.5, 0.25
FACTORS = (1 - STRENGTH, 1 + STRENGTH)
Batch = Callable[[], Any]


def albumentations(store: Any, kind: type = np.uint8) -> Batch:
    """From memory, crop first, OpenCV on one thread: albumentations.ai/docs/3-basic-usage/performance-tuning.

    That page advises uint8, which is less work than ours: resized and jittered in 256 levels, rounded and
    clipped twice. float32 keeps what is between the levels, as we do and as the original's cache did.
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks the network for a newer version of itself
    A, torch = need("albumentations"), need("torch")
    one = A.Compose(
        [
            A.RandomResizedCrop(size=(SIZE, SIZE), scale=CROP),
            A.HorizontalFlip(p=FLIP),
            A.RandomBrightnessContrast(STRENGTH, STRENGTH, p=JITTER),
            A.Normalize(MEAN, SD, max_pixel_value=255.0 if kind is np.uint8 else 1.0),
            A.ToTensorV2(),
        ]
    )
    pictures = [subjects.grey(store, row)[..., None] for row in range(BATCH)]
    if kind is not np.uint8:
        pictures = [(picture / 255).astype(kind) for picture in pictures]

    def batch() -> Any:
        return torch.utils.data.default_collate(
            [[one(image=picture)["image"] for _ in range(2)] for picture in pictures]
        )

    return batch


def lightly(store: Any) -> Batch:
    """`BYOLTransform` with the paper's settings for grey slices: no blur, no solarisation, no hue.

    Pictures in memory, torchvision's transforms v2 where they are installed, as lightly does by itself.
    """
    need("lightly")
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform
    from PIL import Image
    from torch.utils.data import default_collate

    off = {
        "cj_sat": 0.0,
        "cj_hue": 0.0,
        "random_gray_scale": 0.0,
        "gaussian_blur": 0.0,
        "solarization_prob": 0.0,
    }
    jitter = {"cj_prob": JITTER, "cj_bright": STRENGTH, "cj_contrast": STRENGTH, "hf_prob": FLIP}
    settings = (
        off | jitter | {"input_size": SIZE, "min_scale": CROP[0], "normalize": {"mean": [MEAN], "std": [SD]}}
    )
    both = BYOLTransform(BYOLView1Transform(**settings), BYOLView2Transform(**settings))
    pictures = [Image.fromarray(subjects.grey(store, row)) for row in range(BATCH)]
    return lambda: default_collate([both(picture) for picture in pictures])


def kornia(store: Any) -> Batch:
    """The whole batch at once, float32 in memory; crops by slicing, "for efficiency" (RandomResizedCrop's docstring)."""
    K, torch = need("kornia.augmentation"), need("torch")
    one = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE), scale=CROP, cropping_mode="slice"),
        K.RandomHorizontalFlip(p=FLIP),
        K.RandomBrightness(FACTORS, p=JITTER),
        K.RandomContrast(FACTORS, p=JITTER),
        K.Normalize(torch.tensor([MEAN]), torch.tensor([SD])),
        data_keys=["input"],
    )
    pictures = np.stack([subjects.grey(store, row) for row in range(BATCH)])[:, None]
    batch = torch.from_numpy(pictures).float() / 255

    def make() -> list[Any]:
        with torch.inference_mode():
            return [one(batch) for _ in range(2)]

    return make


def monai(store: Any) -> Batch:
    """`CacheDataset` without metadata and without copies of the cache, no worker processes.

    docs.monai.io `CacheDataset` (copy_cache), acceleration/fast_model_training_guide.md of Project-MONAI/tutorials
    (`set_track_meta(False)`, cached data, random transforms only). MONAI has no crop of random area and ratio in
    one; `RandSpatialCrop` between 28 % of the sides (8 % of the area) and all, then `Resize`, comes nearest.
    """
    need("monai")
    from monai import transforms
    from monai.data import CacheDataset, set_track_meta
    from torch.utils.data import default_collate

    set_track_meta(False)
    pictures = [{"image": subjects.grey(store, row)[None].astype(np.float32) / 255} for row in range(BATCH)]
    least = round(pictures[0]["image"].shape[1] * CROP[0] ** 0.5)
    one = transforms.Compose(
        [
            transforms.EnsureTyped("image"),
            transforms.RandSpatialCropd("image", roi_size=(least, least), random_size=True),
            transforms.Resized("image", (SIZE, SIZE), mode="bilinear"),
            transforms.RandFlipd("image", prob=FLIP, spatial_axis=1),
            transforms.RandScaleIntensityd("image", STRENGTH, prob=JITTER),
            transforms.RandScaleIntensityFixedMeand("image", factors=STRENGTH, prob=JITTER),
            transforms.NormalizeIntensityd("image", subtrahend=MEAN, divisor=SD),
        ]
    )
    cached = CacheDataset(pictures, one, num_workers=1, progress=False, copy_cache=False)
    return lambda: default_collate([[cached[i]["image"] for _ in range(2)] for i in range(BATCH)])


def against(make: Callable[[Any], Batch]) -> Callable[[], Answer]:
    """The measurement against one of the four."""

    def measure() -> Answer:
        store = subjects.store()
        variants = {"peer": make(store), "ours": views.ours(store, SIZE)}
        for batch in variants.values():
            views.check_shape(batch(), SIZE)
        return compare(variants, rounds=views.ROUNDS).answer(per_second=BATCH)

    return measure


QUESTIONS = tuple(
    Question(
        "P1c", "two augmented views per slice, 224 px, from memory", peer, against(make), 5, 10, (package,)
    )
    for peer, make, package in (
        ("albumentations, uint8", albumentations, "albumentations"),
        (
            "albumentations, float32",
            functools.partial(albumentations, kind=np.float32),
            "albumentations",
        ),
        ("lightly's BYOLTransform, grey", lightly, "lightly"),
        ("kornia, whole batch", kornia, "kornia"),
        ("MONAI CacheDataset", monai, "monai"),
    )
)
