"""Which of a file's networks is which, and how they were trained: as far as their names say."""

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
    "teacher": "teacher", "momentum": "momentum", "target": "target", "ema": "ema", "average": "ema", "averaged": "ema",
    "swa": "ema", "shadow": "ema", "k": "key", "key": "key", "student": "student", "online": "online", "q": "query",
    "query": "query",
}  # fmt: skip
# the network that follows the other one slowly -> the other one
COUNTERPARTS = {"teacher": "student", "key": "query", "ema": "raw", "momentum": "online", "target": "online"}
AVERAGED = "n_averaged"  # torch.optim.swa_utils.AveragedModel counts in it
# Two libraries store the average as the model, and the model aside: Lightning's WeightAveraging, MMEngine's EMAHook.
ASIDE = re.compile(r"current_model_state\.|ema_state_dict\.")
MMENGINE = "ema_state_dict.steps"
# method -> ends of names that its files have, all of them
SIGNS = {
    "byol": (("target_backbone",), ("online_backbone",), ("online_encoder", "target_encoder", "online_predictor")),
    "pixpro": (("encoder_k", "value_transform"),),
    "swav": (("projection_head", "prototypes.weight"),),  # DeepCluster-v2 and SeLa-v2 have several tables of prototypes
    "dino": (("teacher", "student", "dino_loss"),),
    "moco": (("encoder_q", "encoder_k"),),
}  # fmt: skip
MOCO = {"encoder_q", "encoder_k", "queue", "queue_ptr"}  # nothing else: DenseCL and others have more
# what the settings in a file may call its method: solo-learn's and lightly's words, and ours
METHODS = {
    "supervised", "supcon", "barlow", "barlow_twins", "byol", "cpc", "deepclusterv2", "densecl", "dino", "dinov2", "mae", "moco",
    "mocov2", "mocov2plus", "mocov3", "nnbyol", "nnclr", "nnsiam", "pcl", "pixpro", "ressl", "simclr", "simmim", "simsiam",
    "swav", "vibcreg", "vicreg", "wmse",
}  # fmt: skip
# timm's tags of ImageNet-1k weights that were trained by labels alone: in1k, a1_in1k, tv2_in1k … but
# not fb_swsl_ig1b_ft_in1k. A tag that this does not match leaves the training to be declared.
SUPERVISED_TAG = re.compile(r"([a-z]+\d*[a-z]?_)?in1k")
# in a tag, or in the name of a network whose published weights began without labels
NOT_SUPERVISED = ("dino", "mae", "moco", "simclr", "byol", "swav", "ssl", "swsl", "convnextv2", "clip", "beit", "eva", "hiera",
                  "openai", "laion", "ig1b", "yfcc", "swag")  # fmt: skip
PLAIN = {"state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema", "raw"}
# classes of ImageNet-1k and -21k: a classifier, and no projection
PUBLISHED = {1000, 11221, 11821, 21841, 21843}


@dataclass(frozen=True)
class Network:
    """One of a file's networks."""

    reading: Reading
    word: str  # key, query, teacher, student, ema, raw, momentum, target, online; "" = the file does not say

    @property
    def role(self) -> str:
        """What it is to the other one: "imported" where the file does not tell two apart."""
        return ROLE_TARGET if self.word in COUNTERPARTS else ROLE_ONLINE if self.word else ROLE_IMPORTED

    def __str__(self) -> str:
        return f"{self.word or 'network'} under {self.reading}"


def networks(readings: Iterable[Reading], names: Collection[str]) -> list[Network]:
    """The different networks among complete readings, and what each is to the others; `names` are all the file's."""
    said = [Network(reading, _word(reading, names)) for reading in readings]
    distinct: list[Network] = []
    for network in sorted(said, key=lambda n: (-len(n.reading.audit.matched), not n.word)):
        if not any(_same(network, other) for other in distinct):
            distinct.append(network)
    words = [network.word for network in distinct]
    other = next((COUNTERPARTS[w] for w in words if w in COUNTERPARTS), "ema" if "raw" in words else "")
    return [Network(network.reading, network.word or other) for network in distinct]


def choose(found: list[Network], role: str, path: object) -> Network:
    """The network that is meant: the one of `role`; without one the target's, which methods hand on.

    Raises:
        EncoderError: there is none of that role, or two.
    """
    listed = "\n".join(f"  {network}" for network in found)
    if not (asked := [n for n in found if role in ("", n.role, n.word)]):
        raise EncoderError(f"{path}: no network in it says that it is the {role} one:\n{listed}")
    chosen = [n for n in asked if n.role == ROLE_TARGET] or asked
    if len(chosen) > 1:
        raise EncoderError(
            f"{path}: {len(chosen)} different networks are in it; role= or strip=<prefix> says which is meant:\n{listed}"
        )
    return chosen[0]


def _word(reading: Reading, names: Collection[str]) -> str:
    prefix = reading.prefix
    if (aside := ASIDE.match(prefix)) and (aside[0] != "ema_state_dict." or MMENGINE in names):
        return "raw"
    for part in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", prefix).lower()):
        if part in WORDS:
            return WORDS[part]
    above = {prefix[: dot.start() + 1] for dot in re.finditer(r"\.", prefix)} | {""}
    return "ema" if any(place + AVERAGED in names for place in above) else ""


def _same(one: Network, other: Network) -> bool:
    """Read from the same tensors, or from equal ones that have not two roles."""
    mine, its = one.reading.tensors, other.reading.tensors
    if {id(tensor) for tensor in mine.values()} <= {id(tensor) for tensor in its.values()}:
        return True
    if one.word and other.word and one.word != other.word:
        return False
    return all(name in its and torch.equal(tensor, its[name]) for name, tensor in mine.items())


# ---------------------------------------------------------------- method
def by_labels(tag: str) -> bool:
    """Whether timm's tag of weights says that they were trained by labels alone."""
    return bool(SUPERVISED_TAG.fullmatch(tag)) and not any(word in tag for word in NOT_SUPERVISED)


def method(network: Network, content: object, names: Collection[str], tag: str = "") -> str:
    """How it was trained, where the file says so; `names` are all its tensors', `tag` is timm's of the weights."""
    settings = content
    for key in ("", "hyper_parameters", "cfg"):  # solo-learn has its settings in two places, by release
        settings = settings.get(key, settings) if isinstance(settings, Mapping) else None
        said = settings.get("method") if isinstance(settings, Mapping) else None
        if isinstance(said, str) and said.lower() in METHODS:
            return said.lower()
    parts = {part for name in names for part in (*name.split("."), ".".join(name.split(".")[-2:]))}
    place = network.reading.prefix.partition("encoder_")[0]
    beside = {name.removeprefix(place).partition(".")[0] for name in names if name.startswith(place)}
    for found, signs in SIGNS.items():
        if any(set(sign) <= parts for sign in signs) and (found != "moco" or beside <= MOCO):
            return found
    if any(word in tag for word in NOT_SUPERVISED) or _probed(network, content):
        return UNKNOWN
    return SUPERVISED if _classifies(network) else UNKNOWN


def _probed(network: Network, content: object) -> bool:
    """Whether the optimiser beside a network has its classifier alone: MoCo's main_lincls, on frozen features."""
    for optimizer in content.values() if isinstance(content, Mapping) else ():
        groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
        if isinstance(groups, list) and all(isinstance(group, Mapping) for group in groups):
            trained = sum(len(group["params"]) for group in groups if isinstance(group.get("params"), list))
            return trained == len(set(network.reading.audit.carried) - {AVERAGED})
    return False


def _classifies(network: Network) -> bool:
    """Whether the file is a network as it was published with the classifier that it was trained through.

    A self-supervised network may keep the classifier it was built with; then that one is as it was drawn.
    """
    reading = network.reading
    prefix = set(filter(None, re.split(r"[._]+", reading.prefix))) | ({network.word} - {""})
    heads = {name.rpartition(".")[0] for name in reading.audit.carried if name != AVERAGED}
    head = next(iter(heads), "")
    weight, bias = (reading.left.get(f"{head}.{name}") for name in ("weight", "bias"))
    if len(heads) != 1 or head.partition(".")[0] not in HEADS or weight is None or weight.ndim != 2:
        return False
    if any(word in reading.architecture for word in NOT_SUPERVISED):
        return False
    words = {part for word in PLAIN for part in word.split("_")}
    return prefix <= words and weight.shape[0] in PUBLISHED and not _untouched(weight, bias)


def _untouched(weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Whether a linear layer is as torch or timm draws it: uniform between bounds of its width, or of zeros."""
    weight = weight.double()  # torch counts little in eight bits
    if (bias is not None and not bias.double().any()) or not weight.any() or not torch.isfinite(weight).all():
        return True
    for width in weight.shape:  # torch draws by the inputs, timm's EfficientNets by the outputs
        bound = width**-0.5
        if weight.abs().max() <= 1.001 * bound and abs(float(weight.std()) / bound * 3**0.5 - 1) < 0.05:
            return True
    return False
