"""Does what was sent arrive? Names and shapes first, then the features themselves.

timm and segmentation-models-pytorch load a folder that lacks trunk tensors without a word, so no load
in this project rests on their judgement: every state dict is compared here before it is used.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from sslseg.config.names import EncoderError
from sslseg.config.texts import some

LISTED = 6  # names printed of each kind; the counts are always complete


@dataclass(frozen=True)
class Audit:
    """The comparison of a target's tensors with a source's, by name and shape."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]  # the target has it, the source has not
    unexpected: tuple[str, ...]  # the source has it, nobody wants it
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]  # name, target's shape, source's
    carried: tuple[str, ...] = ()  # the source has it beside what is compared, as a head
    hint: str = ""

    @property
    def complete(self) -> bool:
        """True if every tensor of the target is there, and nothing is left over."""
        return not (self.missing or self.unexpected or self.mismatched)

    def table(self) -> str:
        """One line a kind: count and first names."""
        shapes = [f"{name} wanted {list(a)}, got {list(b)}" for name, a, b in self.mismatched]
        kinds = {"matched": self.matched, "missing": self.missing, "unexpected": self.unexpected,
                 "mismatched": shapes, "carried": self.carried}  # fmt: skip
        rows = (f"  {kind:<10} {len(found):>5}  {some(found, LISTED)}" for kind, found in kinds.items())
        return "\n".join(map(str.rstrip, rows))

    def raise_for_problems(self, context: str) -> None:
        """Refuse an incomplete transfer. Raises EncoderError: a tensor is missing, left over or of another shape."""
        if self.complete:
            return
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        raise EncoderError(
            f"{context}: wanted all {total} tensors, {len(self.matched)} match\n{self.table()}"
            + (f"\n{self.hint}" if self.hint else "")
        )


def audit(target_state: Mapping[str, torch.Tensor], source_state: Mapping[str, torch.Tensor]) -> Audit:
    """Compare two state dicts; nothing is loaded."""
    target, source = set(target_state), set(source_state)
    shapes = {n: (tuple(target_state[n].shape), tuple(source_state[n].shape)) for n in target & source}
    missing, unexpected = tuple(sorted(target - source)), tuple(sorted(source - target))
    return Audit(
        matched=tuple(sorted(name for name, (a, b) in shapes.items() if a == b)),
        missing=missing,
        unexpected=unexpected,
        mismatched=tuple((name, a, b) for name, (a, b) in sorted(shapes.items()) if a != b),
        hint=_hint(missing, unexpected),
    )


def check_equal(wanted: Mapping[str, torch.Tensor], got: Mapping[str, torch.Tensor], context: str) -> None:
    """Prove that every tensor arrived bit by bit.

    Raises:
        EncoderError: a tensor is missing, left over, of another shape or type, or changed.
    """
    audit(wanted, got).raise_for_problems(context)
    pairs = {name: (tensor.detach().cpu(), got[name].detach().cpu()) for name, tensor in wanted.items()}
    if changed := [name for name, (a, b) in pairs.items() if a.dtype != b.dtype or not torch.equal(a, b)]:
        raise EncoderError(
            f"{context}: {len(changed)} of {len(wanted)} tensors changed on the way: {some(changed, LISTED)}"
        )


def _hint(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Name the one prefix that would bring most of the missing tensors into place."""
    for wanted, got, advice in ((missing, unexpected, "strip it"), (unexpected, missing, "add it")):
        dots = ((name, dot.end()) for name in got for dot in re.finditer(r"\.", name))
        if prefixes := Counter(name[:end] for name, end in dots if name[end:] in wanted):
            prefix, count = prefixes.most_common(1)[0]
            return (
                f"hint: {count} of {len(missing)} missing tensors differ by the prefix {prefix!r}; {advice}"
            )
    return ""
