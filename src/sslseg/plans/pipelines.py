"""A pipeline is a sentence: what an encoder learned from, hop by hop, before it is fine-tuned.

    scratch   supervised   byol@natural   supervised+byol@target   phantom   byol@photos+moco@acdc

Hops are written `<how>[@<data>]` and joined by `+`. How: `supervised` (the masks or classes that data come with;
alone, ImageNet weights that are imported), or a file of `methods/`. Data: `target` (the data of the downstream
task; what is meant where none is named), `natural`, or a dataset. `phantom` is `supervised@phantom`. A hop of a
whole U-Net may end in `+decoder`: the fine-tuning takes its decoder over, too.

Behind the hops may stand how the fine-tuning itself is done, other than usual: `scratch+strong`,
`supervised+byol@target+mean_teacher`, `scratch+strong+mean_teacher` (VARIANTS).

What has run is written the same way, with the names of its data: `byol@photos+byol@acdc`. A pipeline is recognised
from the lineage of what is there, never from what a run calls itself.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sslseg.config import plugins
from sslseg.config.names import FINETUNE, IMPORT, PRETRAIN, SCRATCH, ParamError, quoted
from sslseg.config.texts import whole

NATURAL = "natural"  # any data of that domain
TARGET = "target"  # the data of the downstream task
IMAGENET = "imagenet"  # comes as weights, never as images
SUPERVISED, PHANTOM, DECODER = "supervised", "phantom", "decoder"
ALIASES = {"byol-natural": "byol@natural", "byol-target": "byol@target", "phantom-supervised": PHANTOM}
# what people call the hops of a pipeline
MEANT = {"imagenet": SUPERVISED, "pretrained": SUPERVISED, "random": SCRATCH, "none": SCRATCH}
# words for how a fine-tuning is done, in the order that they are written in, and the knobs that each sets
VARIANTS = {
    "strong": {"augment": "strong"},
    "mean_teacher": {"semi": "mean_teacher"},
    "frozen": {"freeze": "encoder"},
    "unimatch": {"semi": "unimatch"},
}
MOST = 40  # characters of a word that the nearest one is looked for by
KINDS_OF = {(): "control", (NATURAL,): "generalist", (TARGET,): "specialist",
            (NATURAL, TARGET): "hierarchical"}  # fmt: skip
KINDS = (*KINDS_OF.values(), "own")
_OLDER = re.compile(r"(?P<how>[^@-]+)-(?P<data>[^@]+)(?:@(?P<epoch>\d+))?")  # byol-acdc@25, in older stores


@dataclass(frozen=True)
class Hop:
    """One stage before the fine-tuning: how it learns, and from which data."""

    how: str
    data: str  # TARGET, NATURAL, IMAGENET or a dataset
    decoder: bool = False  # handed on together with the encoder

    def __str__(self) -> str:
        text = f"{self.how}@{self.data}"
        if self.how == SUPERVISED and self.data in (NATURAL, IMAGENET, PHANTOM):
            text = PHANTOM if self.data == PHANTOM else SUPERVISED
        return f"{text}+{DECODER}" if self.decoder else text

    @property
    def stage(self) -> str:
        """What a sweep runs for it: names.IMPORT, PRETRAIN or FINETUNE."""
        if self.data == IMAGENET or (self.how, self.data) == (SUPERVISED, NATURAL):
            return IMPORT
        return FINETUNE if self.how == SUPERVISED else PRETRAIN


@dataclass(frozen=True)
class Pipeline:
    """Hops, root first; none = random weights. `variants`: words of VARIANTS, how the fine-tuning after them is done."""

    hops: tuple[Hop, ...] = ()
    variants: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "+".join([*(map(str, self.hops) if self.hops else [SCRATCH]), *self.variants])

    @property
    def knobs(self) -> dict[str, str]:
        """What the variants set of a fine-tuning."""
        return {knob: value for word in self.variants for knob, value in VARIANTS[word].items()}

    @property
    def kind(self) -> str:
        """The paper's kind of a pipeline that is written in the words `target` and `natural`; else `own`."""
        data = itertools.groupby(hop.data for hop in self.hops)
        return KINDS_OF.get(tuple(word for word, _ in data), "own")

    def named(self, target: str, natural: str, imported: Iterable[str] = ()) -> Pipeline:
        """With datasets for `target` and `natural`; hows of `imported` come as ImageNet weights."""
        known, weights = {TARGET: target, NATURAL: natural}, {SUPERVISED, *imported}
        data = (
            IMAGENET if hop.how in weights and hop.data == NATURAL else known.get(hop.data, hop.data)
            for hop in self.hops
        )
        return replace(self, hops=tuple(map(lambda hop, data: replace(hop, data=data), self.hops, data)))


Facts = tuple[str, str, str, bool]  # of a hop that has run: method, dataset, domain, decoder handed on


def of(hops: Iterable[Facts], target: str, variants: tuple[str, ...] = ()) -> Pipeline:
    """The pipeline that hops make for the downstream data `target`."""
    found = (Hop(how, _word(data, domain, target), decoder) for how, data, domain, decoder in hops)
    return Pipeline(tuple(found), variants)


def variants_of(p: object) -> tuple[str, ...]:
    """The words for how a fine-tuning with parameters `p` is done; () = as usual."""
    return tuple(word for word, knobs in VARIANTS.items() if knobs.items() <= vars(p).items())


def fits(wanted: Pipeline, hops: Sequence[Facts], target: str) -> bool:
    """Whether hops that have run are what a sentence says, which may name data or say `target` and `natural`."""
    return len(hops) == len(wanted.hops) and all(
        hop.how == how and hop.data in (data, _word(data, domain, target))
        for hop, (how, data, domain, _) in zip(wanted.hops, hops, strict=True)
    )


def _word(data: str, domain: str, target: str) -> str:
    return TARGET if data == target else NATURAL if domain == NATURAL else data


# ---------------------------------------------------------------- what a person writes
def parse(text: str) -> Pipeline:
    """The pipeline that a sentence means.

    Raises:
        ParamError: it means none; one sentence, with the nearest that does.
    """
    try:
        return _parse(text)
    except ParamError as error:
        several = "" if re.fullmatch(r"[\w@+ -]*", text) else " (several are written with commas)"
        raise ParamError(
            f"pipelines: {quoted(text)}: {error}{several}; the nearest is {_nearest(text)}"
        ) from None


def split(text: str) -> Pipeline:
    """The hops that a sentence has, whether or not there are such methods and data here."""
    words = [word.strip() for word in text.split("+")]
    variants = tuple(word for word in VARIANTS if word in words)
    words = [word for word in words if word not in VARIANTS] or [""]
    hops: list[Hop] = []
    for word in words if words != [SCRATCH] else ():
        if word == DECODER and hops:
            hops[-1] = replace(hops[-1], decoder=True)
        else:
            hops.append(_split(ALIASES.get(word, word)))
    return Pipeline(tuple(hops), variants)


def _split(word: str) -> Hop:
    how, at, data = word.partition("@")
    if how == PHANTOM and not at:
        return Hop(SUPERVISED, PHANTOM)
    return Hop(how, data if at else NATURAL if how == SUPERVISED else TARGET)


def _parse(text: str) -> Pipeline:
    found = split(text)
    for hop in found.hops:
        _check_hop(hop)
    _check_order(found.hops)
    words = [word.strip() for word in text.split("+")]
    said = [word for word in words if word in VARIANTS]
    if len(said) != len(found.variants) or words[len(words) - len(said) :] != said:
        raise ParamError(f"{said[0]} is of the fine-tuning, so it stands once and after the hops")
    return found


def _check_hop(hop: Hop) -> None:
    how, data = hop.how, hop.data
    if how != SUPERVISED and how not in plugins.names("methods"):
        said = {"": "a hop is missing", SCRATCH: f"{SCRATCH} stands alone"}
        raise ParamError(said.get(how, f"{quoted(how)} is no way to learn"))
    if data not in (TARGET, NATURAL, IMAGENET, *plugins.names("datasets")):
        raise ParamError(f"{quoted(data)} is no data" if data else "data are missing behind the @")
    if how == SUPERVISED and data == TARGET:
        raise ParamError("the masks of the target are what the fine-tuning learns from")
    if how == SUPERVISED and data not in (NATURAL, IMAGENET):
        classes = getattr(plugins.load("datasets", data), "CLASSES", ("", ""))
        if len(classes) < 2:  # the background alone
            raise ParamError(f"{data} has no masks to learn from")


def _check_order(hops: tuple[Hop, ...]) -> None:
    """What is wrong with the order of hops that are right by themselves."""
    if late := [hop for hop in hops[1:] if hop.stage == IMPORT]:
        raise ParamError(f"{late[0]} brings weights from elsewhere, so it comes first")
    for hop, after in zip(hops, [*hops[1:], None], strict=False):
        if hop.decoder and not _has_decoder(hop):
            raise ParamError(f"{replace(hop, decoder=False)} trains no decoder")
        if hop.decoder and after and after.stage != FINETUNE:
            raise ParamError(f"{after} takes no decoder over")


def _has_decoder(hop: Hop) -> bool:
    if hop.stage == PRETRAIN:
        return getattr(plugins.load("methods", hop.how).Method, "DECODER", False)
    return hop.stage == FINETUNE


def _nearest(text: str) -> str:
    """A sentence that `parse` takes, hop by hop as near as there is; hops that fit nowhere are left out."""
    words = [MEANT.get(word.strip().lower(), word.strip())[:MOST] for word in text.split("+")]
    nears = [difflib.get_close_matches(word, _words(), n=3, cutoff=0.0) for word in words]
    found, others = "", any(near[0] not in (SCRATCH, *VARIANTS) for near in nears)
    for near in sorted(nears, key=lambda near: near[0] in VARIANTS):
        for one in near if near[0] != SCRATCH or not others else ():
            before = found or (SCRATCH if one in VARIANTS else "")
            with contextlib.suppress(ParamError):
                found = str(_parse(f"{before}+{one}" if before else one))
                break
    return found or SCRATCH


def _words() -> list[str]:
    data = (TARGET, NATURAL, *plugins.names("datasets"))
    methods = [word for how in plugins.names("methods") for word in (how, *(f"{how}@{d}" for d in data))]
    return [SCRATCH, SUPERVISED, PHANTOM, DECODER, *VARIANTS, *methods, *ALIASES]


# ---------------------------------------------------------------- what is written on runs
def hop_text(how: str, data: str, decoder: bool = False) -> str:
    """`byol@acdc`, `supervised`, `phantom`: one hop of what has run."""
    return str(Hop(how or "unknown", data or "unknown", decoder))


def read(lineage: str) -> list[tuple[str, int | None]]:
    """(hop, epoch) of a lineage tag, `supervised > byol@acdc:25 > supervised@acdc`; of older stores' tags too."""
    found: list[tuple[str, int | None]] = []
    for word in [] if lineage in ("", SCRATCH) else lineage.split(" > "):
        name, _, epoch = word.rpartition(":")
        if older := _OLDER.fullmatch(word):
            found.append((hop_text(older["how"], older["data"]), whole(older["epoch"])))
        else:
            found.append((word, None) if not name or whole(epoch) is None else (name, whole(epoch)))
    return found


def read_tag(text: str, target: str) -> str:
    """The pipeline tag of a fine-tuning on `target`, in today's words; what is no pipeline stays as it is."""
    words = "+".join(hop for hop, _ in read(text)) if " > " in text or _OLDER.fullmatch(text) else text
    found = split(text if text in ALIASES else words)
    return str(of([(hop.how, hop.data, "", hop.decoder) for hop in found.hops], target, found.variants))
