"""The gate between what an encoder has seen and what it is to be tested on."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sslseg.config import names, plugins
from sslseg.config.files import known_sha256
from sslseg.config.texts import some
from sslseg.data import exposure
from sslseg.data.exposure import Overlap, Seen
from sslseg.data.slices import copies as same
from sslseg.data.training_set import Inputs
from sslseg.tracking.registry.resolve import Resolved
from sslseg.tracking.runs import Run

HELD_OUT = ("val", "test")
GO_ON = "allow_transductive=true goes on all the same and marks the run"
ONE_PATIENT = "Name them as one patient (csv or patient_regex in sslseg.json), or remove what is there twice"


def ancestry(resolved: Resolved | None) -> list[Seen] | None:
    """What the encoder and all its ancestors have seen: nothing for random weights, None if not recorded.

    Raises:
        EncoderError: its list is damaged, gone, or not the one that was logged with it.
    """
    if resolved is None:
        return []
    wanted, path = resolved.tags.get(names.MODEL_EXPOSURE, ""), resolved.path / names.EXPOSURE_FILE
    if not wanted:
        return None
    actual = known_sha256(path) if path.is_file() else "(no file)"
    if actual != wanted:
        raise names.EncoderError(
            f"run {resolved.run_id}: {path} was changed after it was logged: "
            f"expected sha256 {wanted}, actual {actual}"
        )
    return exposure.read(resolved.path)


def gate(
    run: Run, resolved: Resolved | None, data: Inputs, *, allow: bool = False, remedy: str = GO_ON
) -> None:
    """Stop when val or test patients of `data` were seen upstream; with `allow`, mark the run and go on.

    Args:
        remedy: how the message ends.

    Raises:
        LeakError: an overlap, or an encoder that cannot say what it has seen.
        EncoderError: see `ancestry`.
    """
    seen = ancestry(resolved)
    note(run, seen)
    fault, found = _fault(resolved, seen, data)
    if not fault:
        return
    if not allow:
        raise names.LeakError(f"{fault}. {remedy}")
    mark(run, fault)
    if found:
        run.log({names.LEAKED_PATIENTS: len(found.patients), "leak/images": found.images}, 0)
    print(f"warning: transductive: {fault}")


def copies(run: Run, data: Inputs, *, allow: bool = False, across: bool = False) -> None:
    """Stop where one scan is there under the names of several patients; with `allow`, mark the run and go on.

    Those that a published dataset is known to have (`TWICE` of its module) are only said, as long as they lie on
    one side of the division.

    Args:
        across: stop only where they lie on several sides of the division, and else say it.

    Raises:
        LeakError: there are such scans.
    """
    found = same.find(data.store, data.rows)
    if not found:
        return
    known = getattr(plugins.load("datasets", data.store.dataset), "TWICE", ())
    apart = [one for one in found if len(one.sides) > 1]
    grave = apart or ([] if across else [one for one in found if one.patients not in known])
    fault = same.sentence(grave or found)
    if grave and not allow:
        raise names.LeakError(f"{data.store.dataset}: {fault}. {ONE_PATIENT}{'' if across else f'; {GO_ON}'}")
    if apart:
        mark(run, fault)
    if not run.parent:
        print(f"warning: {fault}")


def check(resolved: Resolved | None, data: Inputs) -> None:
    """Stop as `gate` does, before there is a run.

    Raises:
        LeakError, EncoderError: see `gate`.
    """
    fault, _ = _fault(resolved, ancestry(resolved), data)
    if fault:
        raise names.LeakError(fault)


def note(run: Run, seen: Sequence[Seen] | None) -> None:
    """Tag the run where what its encoder has seen is a matter of somebody's word, or unknown, and say the latter."""
    standing = "unknown" if seen is None else exposure.standing(seen)
    if standing:
        run.tags({names.TAG_EXPOSURE: standing})
    if standing == "unknown" and not run.parent:
        print("warning: nobody knows what the imported weights have seen; these patients may be among it")


def imported(run: Run, words: str, own: Resolved | None) -> list[Seen]:
    """What imported weights have seen: their declared data; and of weights that this store has made, all of it.

    Such weights come without their lineage. So each dataset that they were trained on here is declared as a
    whole: what is fine-tuned on it has to start from the run that made them.

    Args:
        words: data that they are declared to come from.
        own: the model of this store that has the same weights.
    """
    before = ancestry(own) or []
    trained = sorted({entry.dataset for entry in before if not entry.declared})
    said = [words] if words or not trained else []
    return [*before, *(exposure.declared(run.id, run.stage, word) for word in [*said, *trained])]


def mark(run: Run, fault: str) -> None:
    """Tag a run whose scores are not of strangers, with why."""
    run.tags({names.TAG_TRANSDUCTIVE: "true", names.TAG_TRANSDUCTIVE_REASON: fault})


def stages(found: Overlap) -> str:
    """Which stages saw them."""
    return "; ".join(
        f"{entry.stage} {'of weights from' if entry.declared else 'on'} {entry.dataset}, run {entry.run_id}"
        for entry in found.by
    )


def _fault(resolved: Resolved | None, seen: list[Seen] | None, data: Inputs) -> tuple[str, Overlap | None]:
    """A sentence on what was seen, '' = nothing, and the overlap, None = nobody knows or nothing."""
    if resolved is None:
        return "", None
    if seen is None:
        said = f"nobody knows what its {resolved.kind} has seen, it was logged without {names.EXPOSURE_FILE}"
        return f"run {resolved.run_id}: {said}. Make it again", None
    rows = np.concatenate([data.rows[name] for name in HELD_OUT])
    found = exposure.overlap(seen, exposure.volumes(data.store, rows))
    if not found.patients:
        return "", None
    held = data.store.index["patient"].iloc[rows].nunique()
    return (
        f"run {resolved.run_id}: {len(found.patients)} of the {held} val and test patients of "
        f"{data.store.dataset} ({some(found.patients, 5)}; {found.images} images equal by content) "
        f"were seen upstream: {stages(found)}"
    ), found


def write(folder: Path, run: Run, resolved: Resolved | None, data: Inputs, rows: Iterable[int]) -> None:
    """Put the list of what was seen into a model folder: `rows` of this run, and all that is upstream."""
    before = ancestry(resolved)
    if before is None:
        return  # unknown stays unknown: downstream stops at a folder without the list
    own = exposure.of(data.store, rows, run_id=run.id, stage=run.stage)
    exposure.write(folder, [*before, own])
