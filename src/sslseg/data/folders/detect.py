"""Which format a folder of data is in: every dataset module is asked, none is believed blindly.

A format that wants a description (Info.cfg, dataset.json, a table) is more specific than one that takes any
folder with files of its endings (`TAKES_ANY`), which nearly always takes those of the others, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sslseg.config import plugins
from sslseg.config.names import DataError
from sslseg.config.texts import some
from sslseg.data.files import walk
from sslseg.data.source import Source

# a file by which a data set is known -> levels from it up to the folder of the set, and the formats that read that
KNOWN_BY = {"dataset.json": (0, ("decathlon", "nnunet")), "Info.cfg": (1, ("acdc",))}


@dataclass(frozen=True)
class Answer:
    """What one dataset module says of a folder."""

    dataset: str
    takes_any: bool
    volumes: int = 0
    labelled: int = 0
    fault: str = ""  # it reads the folder, but for this file (the first of them)
    refusal: str = ""  # it does not read the folder at all

    def __str__(self) -> str:
        if self.refusal:
            return f"{self.dataset}: no; {self.refusal}"
        kind = ", as any folder of such files" if self.takes_any else ""
        fault = f"; but {self.fault}" if self.fault else ""
        return f"{self.dataset}: {self.volumes} volumes, {self.labelled} annotated{kind}{fault}"


def formats() -> tuple[str, ...]:
    """Datasets that read a folder of the user's; those with data of their own are not asked."""
    every = plugins.names("datasets")
    return tuple(n for n in every if not hasattr(plugins.load("datasets", n), "default_root"))


def ask(root: Path) -> list[Answer]:
    """Every format's answer, by name. Raises DataError: there is no such folder."""
    if not root.is_dir():
        raise DataError(f"{root}: wanted a folder of images, there is none")
    return [_answer(name, plugins.load("datasets", name), root) for name in formats()]


def _answer(name: str, module: ModuleType, root: Path) -> Answer:
    takes_any, fault = getattr(module, "TAKES_ANY", False), ""
    try:
        try:
            sources: list[Source] = module.find(root)
        except DataError as error:  # one bad file does not make a folder another format
            sources, fault = module.scan(root)[0], _from_root(str(error), root)
            if not sources:
                raise
    except DataError as error:
        return Answer(name, takes_any, refusal=_from_root(str(error), root))
    return Answer(name, takes_any, len(sources), sum(s.label is not None for s in sources), fault)


def _from_root(text: str, root: Path) -> str:
    return text.removeprefix(f"{root}: ").replace(f"{root}/", "")


def choose(root: Path, answers: Sequence[Answer], *, skip: bool = False) -> Answer:
    """The most specific format that reads the folder.

    Args:
        skip: bad files will be left out, so they are no obstacle.

    Raises:
        DataError: none reads it, several do, it holds several data sets, it has a bad file, or nothing in it is
            annotated.
    """
    said = "\n".join(f"  {answer}" for answer in answers)
    there = [answer for answer in answers if not answer.refusal]
    found = [answer for answer in there if not answer.takes_any] or [a for a in there if a.labelled] or there
    if not found:
        hint = "docs/reference/data.md shows what each wants"
        raise DataError(f"{root}: no format reads this folder ({hint}):\n{said}")
    if len(found) > 1:
        names = ", ".join(answer.dataset for answer in found)
        raise DataError(f"{root}: {names} read this folder; say which, with dataset=<name>:\n{said}")
    (chosen,) = found
    if chosen.takes_any:
        _check_overlooked(root, chosen, answers)
    if chosen.fault and not skip:
        raise DataError(f"{root}: {chosen.dataset}: {chosen.fault}. on_bad_file=skip leaves such files out")
    if not chosen.labelled:
        raise DataError(
            f"{root}: wanted images with masks, got {chosen.volumes} without, as dataset={chosen.dataset} reads them; "
            "docs/reference/data.md says how a mask is known (a word of its name, or pairs in sslseg.json), and -e prepare with "
            f"dataset={chosen.dataset} what to do with images alone"
        )
    return chosen


def _check_overlooked(root: Path, chosen: Answer, answers: Sequence[Answer]) -> None:
    """Raises DataError where files say that this is a data set of another format, or that several lie below."""
    files = walk(root).files
    for known, (up, formats) in KNOWN_BY.items():
        places = sorted({path.parents[up] for path in files if path.name == known} - {root.parent})
        if root in places:
            why = "".join(f"\n  {answer}" for answer in answers if answer.dataset in formats)
            raise DataError(f"{root}: {known} is of {' or '.join(formats)}, which cannot read this folder; "
                            f"dataset={chosen.dataset} takes its files without that:{why}")  # fmt: skip
        if places:
            inner = some(place.relative_to(root) for place in places)
            said = "\n".join(f"  {answer}" for answer in answers)
            raise DataError(f"{root}: wanted one data set, got {known} in or below {inner}; give that folder, or "
                            f"dataset={chosen.dataset}, which takes all files below:\n{said}")  # fmt: skip
