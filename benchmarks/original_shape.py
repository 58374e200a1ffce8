"""The shape of the original's training scripts, for P7: `python -m benchmarks.original_shape STAGE FOLDER BUDGET SEED`.

One process per run, DataLoader workers that are started anew each epoch and each validation (kaland313/SSL-MedSeg
at 44c7320 sets no `persistent_workers`), PIL and torchvision transforms per sample (solo-learn's), torchmetrics,
one tracking call per number. Networks are timm's and smp's as they come. Losses, optimisers and the numbers of steps
and validations are this project's, in the peer's favour, like two workers instead of eight and slices that need not be
read from NIfTI.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms
from torchvision.transforms import functional

WORKERS = 2


class Pretraining(Dataset):
    """Two views of a picture."""

    def __init__(self, pictures: list[Image.Image], size: int):
        bicubic = transforms.InterpolationMode.BICUBIC
        jitter = transforms.RandomApply([transforms.ColorJitter(0.2, 0.2)], p=0.8)
        crop = transforms.RandomResizedCrop(size, interpolation=bicubic)
        flip, norm = transforms.RandomHorizontalFlip(), transforms.Normalize(0.5, 0.25)
        self.pictures, self.one = (
            pictures,
            transforms.Compose([crop, jitter, flip, transforms.ToTensor(), norm]),
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.one(self.pictures[index]), self.one(self.pictures[index])


class Finetuning(Dataset):
    """One view of a picture and of its mask."""

    def __init__(self, pictures: list[Image.Image], masks: list[np.ndarray], size: int):
        self.pictures, self.size = pictures, size
        self.masks = [Image.fromarray(mask) for mask in masks]
        self.jitter = transforms.RandomApply([transforms.ColorJitter(0.2, 0.2)], p=0.8)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        picture, mask, nearest = self.pictures[index], self.masks[index], transforms.InterpolationMode.NEAREST
        box = transforms.RandomResizedCrop.get_params(picture, (0.08, 1.0), (3 / 4, 4 / 3))
        picture = functional.resized_crop(picture, *box, [self.size, self.size])
        mask = functional.resized_crop(mask, *box, [self.size, self.size], nearest)
        if torch.rand(1) < 0.5:
            picture, mask = functional.hflip(picture), functional.hflip(mask)
        image = functional.normalize(functional.to_tensor(self.jitter(picture)), 0.5, 0.25)
        return image, torch.from_numpy(np.array(mask))


def epochs(data: Dataset, batch_size: int, steps: int, each: int) -> Iterator[Any]:
    """`steps` batches; every epoch has `each` of them and starts its workers.

    Small subsets are passed several times in an epoch, as the original repeats them.
    """
    done = 0
    while done < steps:
        sampler = RandomSampler(data, num_samples=each * batch_size)
        for batch in DataLoader(data, batch_size, sampler=sampler, num_workers=WORKERS):
            yield batch
            if (done := done + 1) == steps:
                return


def slices(texts: dict[str, str], part: str) -> tuple[list[Image.Image], list[np.ndarray], Any, Any]:
    """Pictures and masks of a part of the data, with the inputs and parameters of the stage."""
    from benchmarks import subjects
    from sslseg.config import flags, params
    from sslseg.data import training_set

    p = flags.resolve(flags.from_mapping(params.Finetune, texts))
    data = training_set.load(p)
    rows = data.labelled[part]
    return (
        [subjects.grey(data.store, i) for i in rows],
        [np.array(data.store.label(i)) for i in rows],
        data,
        p,
    )


def as_it_comes(training: Any) -> Any:
    """The networks of a training in PyTorch's own layout; losses and optimisers stay this project's."""
    for net in training.modules.values():
        net.to(memory_format=torch.contiguous_format)
    return training


def pretrain(place: Path, settings: dict, seed: int) -> None:
    """BYOL from random weights; leaves encoder.pt."""
    import mlflow
    import timm

    from sslseg.config import flags
    from sslseg.data.views.batches import PretrainBatch
    from sslseg.methods.agreement import byol
    from sslseg.training import loop

    p = flags.resolve(flags.from_mapping(byol.Params, settings["common"] | settings["pretrain"]))
    torch.set_num_threads(1)
    grey, _, data, _ = slices(settings["common"] | settings["finetune"], "train")
    torch.manual_seed(seed)
    encoder = timm.create_model(p.architecture, num_classes=0, in_chans=data.store.channels)
    method = byol.Method(encoder, p, seed=seed)
    training = as_it_comes(loop.pretraining(method, p))
    views = Pretraining([Image.fromarray(g) for g in grey], p.image_size)
    with mlflow.start_run():
        for step, (one, other) in enumerate(epochs(views, p.batch_size, p.steps, len(grey) // p.batch_size)):
            metrics = training.step(step, PretrainBatch((one, other), np.arange(len(one))))
            if (step + 1) % loop.LOG_EVERY == 0:
                for name, value in metrics.items():
                    mlflow.log_metric(name, value, step)
    torch.save(method.modules["target"].state_dict(), place / "encoder.pt")


def finetune(place: Path, settings: dict, budget: int, seed: int, pretrained: bool) -> None:
    """A U-Net from encoder.pt or from random weights; validated each epoch; not tested."""
    import mlflow
    import segmentation_models_pytorch as smp
    import torchmetrics

    from sslseg.data.views.batches import FinetuneBatch
    from sslseg.training import loop

    torch.set_num_threads(1)
    texts = settings["common"] | settings["finetune"] | {"budget": str(budget), "seed": str(seed)}
    grey, masks, data, p = slices(texts, "train")
    held, held_masks, *_ = slices(texts, "val")
    classes = len(data.store.classes)
    torch.manual_seed(seed)
    net = smp.Unet(
        f"tu-{p.architecture}", encoder_weights=None, in_channels=data.store.channels, classes=classes,
        decoder_channels=p.decoder,
    )  # fmt: skip
    if pretrained:
        state = torch.load(place / "encoder.pt", weights_only=True)
        net.encoder.model.load_state_dict(state, strict=False)
    training = as_it_comes(loop.finetuning(net, p))
    chosen = np.random.default_rng(seed).choice(len(grey), p.budget, replace=False)
    train = Finetuning([Image.fromarray(grey[i]) for i in chosen], [masks[i] for i in chosen], p.image_size)
    few = np.linspace(0, len(held) - 1, p.val_slices).astype(int)
    val = Finetuning([Image.fromarray(held[i]) for i in few], [held_masks[i] for i in few], p.image_size)
    scores = {
        "iou": torchmetrics.JaccardIndex("multiclass", num_classes=classes),
        "dice": torchmetrics.F1Score("multiclass", num_classes=classes, average="macro"),
    }

    def validate(step: int) -> None:
        net.eval()
        with torch.inference_mode():
            for images, labels in DataLoader(val, p.batch_size, num_workers=WORKERS):
                for score in scores.values():
                    score.update(net(images).argmax(1), labels.long())
        for name, score in scores.items():
            mlflow.log_metric(f"val/{name}", float(score.compute()), step)
            score.reset()
        net.train()

    with mlflow.start_run():
        for step, (images, labels) in enumerate(epochs(train, p.batch_size, p.steps, p.eval_every)):
            metrics = training.step(step, FinetuneBatch(images, labels, np.arange(len(images))))
            if (step + 1) % loop.LOG_EVERY == 0:
                for name, value in metrics.items():
                    mlflow.log_metric(name, value, step)
            if (step + 1) % p.eval_every == 0:
                validate(step + 1)
    torch.save(net.state_dict(), place / f"unet-{pretrained}-{budget}-{seed}.pt")


if __name__ == "__main__":
    stage, folder, budget, seed = sys.argv[1:]
    told = json.loads((Path(folder) / "settings.json").read_text(encoding="utf-8"))
    if stage == "pretrain":
        pretrain(Path(folder), told, int(seed))
    else:
        finetune(Path(folder), told, int(budget), int(seed), stage == "finetune-pretrained")
