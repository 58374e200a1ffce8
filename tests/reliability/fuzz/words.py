"""Parameter sets and hostile names: what a user, a folder or a checkpoint may call things."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from sslseg.config import flags, names, params, plugins
from sslseg.data import source
from sslseg.models import encoder
from sslseg.tracking import runs, store
from sslseg.tracking.capsule import archive
from sslseg.tracking.registry import references, register
from tests.fixtures import foreign_trees, trees
from tests.reliability.fuzz.runner import Mutation, Wrong
from tests.reliability.fuzz.texts import _reads

ALPHABET = (
    *"abcXYZ019", *" \t\n\r\v\f\0", *"'\"`\\$;&|<>*?!#%(){}[]~^,:=@+-_./", "é", "ß", "Ω", "心", "🫀", "\u0301", "\u200b",
    "\u202e", "\ufeff", "\x1b", "\x7f", "²", "٣", "ﬁ",
)  # fmt: skip
WHOLE = ("", ".", "..", "/", "//", "../../etc/passwd", "/etc/passwd", "~root", "-rf", "--help", "$(touch x)", "`id`",
         "a" * 300, "心" * 200, "CON", "NUL", "nan", "inf", "None", "true", "null", "{}", "%s%n", "' or 1=1 --",
         "<script>", "a\nb", "a\0b", " a ", "0x10", "1_000", "1e400", "-0", "9" * 400)  # fmt: skip


def word(rng: np.random.Generator, most: int = 40) -> str:
    """A hostile one."""
    if rng.random() < 0.4:
        return WHOLE[int(rng.integers(len(WHOLE)))]
    return "".join(ALPHABET[i] for i in rng.integers(len(ALPHABET), size=int(rng.integers(1, most))))


# ---------------------------------------------------------------- parameters
def _classes() -> list[type]:
    methods = [plugins.load("methods", name).Params for name in plugins.names("methods")]
    return [*params.STAGES.values(), *methods]


def _resolves(cls: type, argv: list[str]) -> Callable[[], str]:
    def call() -> str:
        p = flags.resolve(flags.parse(cls, argv))
        again = flags.resolve(flags.from_mapping(cls, flags.texts(p)))
        if flags.texts(again) != flags.texts(p):
            raise Wrong("its logged text makes other parameters")
        return "and written back"

    return call


def one_value(rng, folder):
    """One knob, of any stage, with a hostile text."""
    cls = _classes()[int(rng.integers(len(_classes())))]
    name = str(rng.choice(list(flags.knobs(cls))))
    return _resolves(cls, [f"--{name}={word(rng)}"])


def many_values(rng, folder):
    cls = _classes()[int(rng.integers(len(_classes())))]
    knobs = list(flags.knobs(cls))
    chosen = [knobs[i] for i in rng.integers(len(knobs), size=int(rng.integers(2, 12)))]
    return _resolves(cls, [f"--{name}={word(rng)}" for name in chosen])


def numbers(rng, folder):
    """Numbers at and beyond every bound, in every way to write one."""
    cls = _classes()[int(rng.integers(len(_classes())))]
    texts = ("0", "-1", "1", "1e-320", "1e308", "1e309", "-inf", "nan", "1.0", "1,", ",", "1,2", "0x1", "٣", "²", "1 2",
             "9" * 30, "9" * 5000, "+1", "1_0", " 7 ", "true", "7.")  # fmt: skip
    chosen = rng.choice(list(flags.knobs(cls)), 3)
    return _resolves(cls, [f"--{name}={texts[int(rng.integers(len(texts)))]}" for name in chosen])


def unknown(rng, folder):
    cls = _classes()[int(rng.integers(len(_classes())))]
    shapes = (
        f"--{word(rng)}",
        word(rng),
        f"-{word(rng)}",
        "--",
        f"--steps{word(rng)}=3",
        f"--{word(rng)}={word(rng)}",
    )
    argv = [shapes[i] for i in rng.integers(len(shapes), size=int(rng.integers(1, 4)))]
    return _resolves(cls, [text for text in argv if text not in ("-h", "--help")])  # the two that there are


# ---------------------------------------------------------------- names
def _mlflow_takes(made: Callable[[], str], check: Callable[[str], None]) -> Callable[[], str]:
    """Whatever the word was, MLflow's own check passes what is made of it."""

    def call() -> str:
        found = made()
        try:
            check(found)
        except MlflowException as error:
            raise Wrong(f"MLflow refuses {found!r}: {error}") from None
        return "as MLflow takes it"

    return call


def metric(rng, folder):
    """Any name of a class makes the name of a metric."""
    key = f"val/iou/{word(rng)}"
    return _mlflow_takes(lambda: runs.metric_name(key), validation._validate_metric_name)


def class_name(rng, folder):
    text = word(rng)

    def call() -> str:
        try:
            name = source.class_name(text)
        except ValueError as error:
            raise names.DataError(f"class: {error}") from None  # as its callers do
        if not name or any(c in name for c in "/\\'\"<>\n\0"):
            raise Wrong(f"{name!r} is no part of a metric's name")
        return "as a class"

    return call


def alias(rng, folder):
    text = word(rng)
    return _mlflow_takes(lambda: register.alias_of(text), validation._validate_model_alias_name)


def reference(rng, folder):
    """Only what looks like a run or a model is looked up at all."""
    text = ("", "runs:/", "models:/", "models:/a/", "models:/a@", "file:")[int(rng.integers(6))] + word(rng)

    def call() -> str:
        form, parts = references.parse(text)
        if any(".." in (p or "").split("/") for p in parts.values()):
            raise Wrong(f"{text!r} leads elsewhere")
        return f"as a {form}"

    return call


def member(rng, folder):
    """Names in an archive stay inside it."""
    text = word(rng)

    def call() -> str:
        archive.check_name(text)
        place = (folder / text).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise Wrong(f"{text!r} leads to {place}")
        return "as inside"

    return call


def experiment(rng, folder):
    """The folder of an experiment's artifacts is one folder below its root."""
    text = word(rng)

    def call() -> str:
        found = store.folder(text)
        if (folder / found).resolve().parent != folder.resolve() or len(found.encode()) > 255 + 2 * len(text):
            raise Wrong(f"{found!r} is no folder")
        return "as a folder"

    return call


def architecture(rng, folder):
    text = word(rng)

    def call() -> str:
        encoder.build(text, 1, 0)
        return "as a network"

    return call


def patient(rng, folder):
    """Folders of patients and file names of pictures."""
    text = word(rng).replace("/", "-").replace("\0", "-") or "x"
    if rng.random() < 0.5:
        trees.acdc(folder / "tree", patients=2, cine=())
        old = folder / "tree" / "patient002"
        new = f"patient{text}"[:60]
        for path in list(old.iterdir()):
            path.rename(old / path.name.replace("patient002", new))
        old.rename(old.with_name(new))
        return _reads("acdc", folder / "tree")
    foreign_trees.images(folder / "tree", cases=2)
    for path in list((folder / "tree").iterdir()):
        path.rename(path.with_name(path.name.replace("p0_", f"{text[:60]}_")))
    return _reads("images", folder / "tree")


def root(rng, folder):
    """The data's own folder."""
    place = folder / (word(rng).replace("/", "-").replace("\0", "-")[:60] or "x").strip(".") / "tree"
    trees.acdc(place, patients=1, cine=())
    return _reads("acdc", place)


PARAMETERS = (one_value, many_values, numbers, unknown)
NAMES = (metric, class_name, alias, reference, member, experiment, architecture, patient, root)


def mutations(name: str) -> dict[str, Mutation]:
    """Of "parameters" or of "names"."""
    return {f.__name__: f for f in (PARAMETERS if name == "parameters" else NAMES)}
