"""Random views, and augmentation beyond them."""

from dataclasses import dataclass

from sslseg.config.flags import knob
from sslseg.config.params.presets import EVERY


@dataclass(frozen=True, kw_only=True)
class Views:
    """Random views: crop, flip, brightness and contrast."""

    image_size: int = knob(help="side of a view, pixels", presets=dict.fromkeys(EVERY, 224) | {"cpu": 64, "demo": 64},
                           low=16, high=1024, source="[C] 224")  # fmt: skip
    crop_scale: tuple[float, float] = knob((0.08, 1.0), "area of a crop, share of the slice", low=0.001, high=1.0,
                                           source="[C] RandomResizedCrop(0.08, 1)")  # fmt: skip
    flip: float = knob(0.5, "probability of a horizontal flip", low=0.0, high=1.0, source="[C]")
    brightness: float = knob(0.2, "largest relative change of brightness", low=0.0, high=1.0, source="[C]")
    contrast: float = knob(0.2, "largest relative change of contrast", low=0.0, high=1.0, source="[C]")
    jitter: float = knob(help="probability of changing brightness and contrast",
                         presets=dict.fromkeys(EVERY, 0.8) | {"paper-code": 0.2}, low=0.0, high=1.0,
                         source="[P] same as pretraining; [C] 0.8 in pretraining, 0.2 in fine-tuning")  # fmt: skip
    jitter_mode: str = knob(help="brightness as a factor, or added in units of 65,535 (flaw F2)",
                            presets=dict.fromkeys(EVERY, "factor") | {"paper-code": "uint16"},
                            choices=("factor", "uint16"),
                            source="[C] albumentations 1.1.0 brightness_by_max on uint16")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Augmentation beyond crop, flip, brightness and contrast; off unless it is asked for.

    Constants of `strong`: nnU-Net v2, nnUNetTrainer.get_training_transforms and its 2D settings.
    """

    augment: str = knob("none", "what the amounts below start from: none, or nnU-Net's (strong)",
                        choices=("none", "strong"))  # fmt: skip
    rotation: float = knob(help="largest rotation either way, degrees", by="augment",
                           presets={"none": 0.0, "strong": 180.0}, low=0.0, high=180.0,
                           source="nnU-Net: 180 in 2D, for patches no longer than 1.5 times their width")  # fmt: skip
    rotation_p: float = knob(0.2, "probability of a rotation", low=0.0, high=1.0, source="nnU-Net")
    scale: tuple[float, float] = knob(help="smallest and largest side of what is shown, in sides of the crop",
                                      by="augment", presets={"none": (1.0, 1.0), "strong": (0.7, 1.4)}, low=0.1,
                                      high=10.0, source="nnU-Net")  # fmt: skip
    scale_p: float = knob(0.2, "probability of another scale", low=0.0, high=1.0, source="nnU-Net")
    elastic: float = knob(help="s.d. of the displacement of 3 × 3 nodes, share of the view's side", by="augment",
                          presets={"none": 0.0, "strong": 0.0}, low=0.0, high=0.5,
                          source="nnU-Net v2 has none; U-Net's own: 10 pixels of 512, 0.02")  # fmt: skip
    elastic_p: float = knob(0.2, "probability of an elastic displacement", low=0.0, high=1.0, source="nnU-Net v1")  # fmt: skip
    noise: float = knob(help="largest s.d. of Gaussian noise on the normalised view", by="augment",
                        presets={"none": 0.0, "strong": 0.1}, low=0.0, high=10.0, source="nnU-Net")  # fmt: skip
    noise_p: float = knob(0.1, "probability of noise", low=0.0, high=1.0, source="nnU-Net")
    blur: tuple[float, float] = knob(help="smallest and largest s.d. of a Gaussian blur, pixels of the view",
                                     by="augment", presets={"none": (0.0, 0.0), "strong": (0.5, 1.0)}, low=0.0,
                                     high=20.0, source="nnU-Net")  # fmt: skip
    blur_p: float = knob(0.1, "probability of a blur", low=0.0, high=1.0,
                         source="nnU-Net: 0.2, and then half of the channels")  # fmt: skip
    gamma: tuple[float, float] = knob(help="smallest and largest exponent of the grey levels, their mean and s.d. kept",
                                      by="augment", presets={"none": (1.0, 1.0), "strong": (0.7, 1.5)}, low=0.01,
                                      high=10.0, source="nnU-Net")  # fmt: skip
    gamma_p: float = knob(0.3, "probability of a gamma", low=0.0, high=1.0, source="nnU-Net")
