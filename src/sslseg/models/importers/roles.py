"""Which of a file's networks is which, and how they were trained: as far as their names say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch

from sslseg.config.names import ROLE_IMPORTED, ROLE_ONLINE, ROLE_TARGET, EncoderError
from sslseg.models.importers.matching import HEADS, Reading

UNKNOWN = "unknown"
SUPERVISED = "supervised"
# a word in front of a network's names -> what the network is called here, and its role
WORDS = {
    "teacher": "teacher", "momentum": "momentum", "target": "target", "ema": "ema", "averaged": "ema", "swa": "ema",
    "k": "key", "key": "key", "student": "student", "online": "online", "q": "query", "query": "query",
}  # fmt: skip
# the network that follows the other one slowly -> the other one
COUNTERPARTS = {"teacher": "student", "key": "query", "ema": "raw", "momentum": "online", "target": "online"}
AVERAGED = "n_averaged"  # torch.optim.swa_utils.AveragedModel counts in it
# method -> names that its files have, all of them
SIGNS = {
    "byol": (
        ("target_backbone",),
        ("online_backbone",),
        ("online_encoder", "target_encoder", "online_predictor"),
    ),
    "pixpro": (("encoder_k", "value_transform"),),
    "swav": (("projection_head", "prototypes"),),
    "dino": (("teacher", "student", "dino_loss"),),
    "moco": (("encoder_q", "encoder_k"),),
}
MOCO = {"encoder_q", "encoder_k", "queue", "queue_ptr"}  # nothing else: DenseCL and others have more
PLAIN = {"state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema", "raw"}
PUBLISHED = {
    1000,
    11221,
    11821,
    21841,
    21843,
}  # classes of ImageNet-1k and -21k: a classifier, and no projection


@dataclass(frozen=True)
class Network:
    """One of a file's networks."""

    reading: Reading
    role: str  # "target", "online", or "imported" where the file does not tell two apart
    word: str  # key, query, teacher, student, ema, raw, momentum, target, online; "" = the file does not say

    def __str__(self) -> str:
        return f"{self.word or 'network'} under {self.reading}"


def networks(readings: Iterable[Reading]) -> list[Network]:
    """The different networks among complete readings, and what each is to the others."""
    distinct: list[tuple[Reading, str]] = []
    for reading in sorted(readings, key=lambda r: (-len(r.audit.matched), not _word(r))):
        if not any(_same(reading, other, word) for other, word in distinct):
            distinct.append((reading, _word(reading)))
    slow = [word for _, word in distinct if word in COUNTERPARTS]
    found = []
    for reading, word in distinct:
        word = word or (COUNTERPARTS[slow[0]] if slow else "")
        role = ROLE_TARGET if word in COUNTERPARTS else ROLE_ONLINE if word else ROLE_IMPORTED
        found.append(Network(reading, role, word))
    return found


def choose(found: list[Network], role: str, path: object) -> Network:
    """The network that is meant: the one of `role`; without one the target's, which methods hand on.

    Raises:
        EncoderError: there is none of that role, or two.
    """
    listed = "\n".join(f"  {network}" for network in found)
    asked = [n for n in found if role in ("", n.role, n.word)]
    if not asked:
        raise EncoderError(f"{path}: no network in it says that it is the {role} one:\n{listed}")
    targets = [n for n in asked if n.role == ROLE_TARGET]
    chosen = targets or asked
    if len(chosen) > 1:
        raise EncoderError(
            f"{path}: {len(chosen)} different networks are in it; role= or strip=<prefix> says which is meant:\n{listed}"
        )
    return chosen[0]


def _word(reading: Reading) -> str:
    for part in re.split(r"[^a-z]+", reading.prefix.lower()):
        if part in WORDS:
            return WORDS[part]
    return "ema" if AVERAGED in reading.audit.carried else ""


def _same(reading: Reading, other: Reading, word: str) -> bool:
    """Read from the same tensors, or from equal ones that have not two roles."""
    ids = {id(tensor) for tensor in other.tensors.values()}
    if all(id(tensor) in ids for tensor in reading.tensors.values()):
        return True
    if _word(reading) and word and _word(reading) != word:
        return False
    return all(
        name in other.tensors and torch.equal(tensor, other.tensors[name])
        for name, tensor in reading.tensors.items()
    )


# ---------------------------------------------------------------- method
def method(network: Network, content: object, names: Collection[str]) -> str:
    """How it was trained, where the file says so; `names` are all its tensors'."""
    if isinstance(content, Mapping):
        for settings in (content, content.get("hyper_parameters")):
            if isinstance(settings, Mapping) and isinstance(settings.get("method"), str):
                return settings["method"]
    parts = {part for name in names for part in name.split(".")}
    place = network.reading.prefix.partition("encoder_")[0]
    beside = {name.removeprefix(place).partition(".")[0] for name in names if name.startswith(place)}
    for found, signs in SIGNS.items():
        if any(set(sign) <= parts for sign in signs) and (found != "moco" or beside <= MOCO):
            return found
    return SUPERVISED if _classifies(network) else UNKNOWN


def _classifies(network: Network) -> bool:
    """Whether the file is a network as it was published with the classifier that it was trained through.

    A self-supervised network may keep the classifier it was built with; then that one is as it was drawn.
    """
    reading = network.reading
    prefix = set(filter(None, re.split(r"[._]+", reading.prefix))) | ({network.word} - {""})
    heads = {name.rpartition(".")[0] for name in reading.audit.carried if name != AVERAGED}
    weights = reading.left.get(f"{next(iter(heads), '')}.weight")
    if (
        len(heads) != 1
        or next(iter(heads)).partition(".")[0] not in HEADS
        or weights is None
        or weights.ndim != 2
    ):
        return False
    words = {part for word in PLAIN for part in word.split("_")}
    return prefix <= words and weights.shape[0] in PUBLISHED and not _untouched(weights, reading.left.get(
        f"{next(iter(heads))}.bias"
    ))  # fmt: skip


def _untouched(weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Whether a linear layer is as torch or timm draws it: uniform between bounds of its width, or with a bias of 0."""
    if bias is not None and not bias.any():
        return True
    weight = weight.double()
    for width in weight.shape:  # torch draws by the inputs, timm's EfficientNets by the outputs
        bound = width**-0.5
        if weight.abs().max() <= 1.001 * bound and abs(float(weight.std()) / bound * 3**0.5 - 1) < 0.05:
            return True
    return False
