"""The file name is the registry key.

`methods/agreement/byol.py` is the method `byol`, `datasets/hearts/acdc.py` the dataset `acdc`. Methods and datasets of other
packages come by the entry-point groups `sslseg.methods` and `sslseg.datasets`: `hello = "their_package.hello"`. Listing
them imports nothing, so that a parameter can be checked where torch cannot be imported.
"""

import functools
import importlib
import importlib.util
import warnings
from importlib import metadata
from pathlib import Path, PurePath
from types import ModuleType

from sslseg.config.names import VAGUE, DataError, ParamError

PACKAGE = Path(__file__).parents[1]
GROUPS = {"methods": "sslseg.methods", "datasets": "sslseg.datasets"}  # that other packages may add to


def names(folder: str) -> tuple[str, ...]:
    """Plug-ins of `folder` ("methods", "datasets"), those of other packages too, sorted."""
    return tuple(sorted({*own(folder), *_foreign(folder)}))


def own(folder: str) -> tuple[str, ...]:
    """Plug-ins that come with this package: files of the folder, or one below."""
    return tuple(sorted(_files(folder)))


def _files(folder: str) -> dict[str, Path]:
    found = [*(PACKAGE / folder).glob("*.py"), *(PACKAGE / folder).glob("[!_]*/*.py")]
    return {path.stem: path for path in found if not path.stem.startswith("_")}


@functools.cache
def _foreign(folder: str) -> dict[str, str]:
    """Name -> module of the plug-ins of other packages; what cannot be one is warned of and left out."""
    found: dict[str, str] = {}
    for entry in sorted(metadata.entry_points(group=GROUPS.get(folder, "")), key=lambda e: (e.name, e.value)):
        fault = _fault(folder, entry, found)
        if fault:
            package = entry.dist.name if entry.dist else "another package"
            warnings.warn(
                f"{entry.group}: {entry.name} = {entry.value} of {package}: {fault}; left out", stacklevel=2
            )
        else:
            found[entry.name] = entry.value
    return found


def _fault(folder: str, entry: metadata.EntryPoint, found: dict[str, str]) -> str:
    if not entry.name.isidentifier() or entry.value.rpartition(".")[2] != entry.name:
        return f"wanted the name of the module's file, {entry.value.rpartition('.')[2]!r}"
    return "there is one of that name" if entry.name in _files(folder) or entry.name in found else ""


def load(folder: str, name: str) -> ModuleType:
    """Import one plug-in.

    Raises:
        ParamError: there is none of that name, or another package's cannot be imported.
    """
    if path := _files(folder).get(name):
        inside = path.relative_to(PACKAGE).with_suffix("").parts
        return importlib.import_module(".".join((PACKAGE.name, *inside)))
    if name not in _foreign(folder):
        raise ParamError(
            f"{folder.rstrip('s')}: must be one of {', '.join(names(folder))}; not {name!r} "
            f"(a new one is a new file in src/sslseg/{folder}/)"
        )
    module = _foreign(folder)[name]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ParamError(f"{folder.rstrip('s')}: {name} cannot be imported from {module}: {error}") from error


def is_format(dataset: str) -> bool:
    """Whether a dataset is a format of any images (images, nnunet …), whose name does not say what they show."""
    return dataset in names("datasets") and load("datasets", dataset).DOMAIN == VAGUE


def folder_of(dataset: str, root: str) -> str:
    """The name of the data's folder where the dataset is a file format; '' where its own name says what they are."""
    return PurePath(root).name if is_format(dataset) else ""


def called(dataset: str, root: str) -> str:
    """What data are called: by their folder, or by the dataset."""
    return folder_of(dataset, root) or dataset


def built_in(dataset: str) -> ModuleType:
    """A dataset that comes with a folder of its own, `default_root`.

    Raises:
        ParamError: it has none, or there is no such dataset.
    """
    module = load("datasets", dataset)
    if not hasattr(module, "default_root"):
        raise ParamError(f"data_root: dataset {dataset} is not built in, give the folder it lies in")
    return module


def path(folder: str, name: str) -> Path:
    """The one file that makes a plug-in.

    Raises:
        ParamError: see `load`.
    """
    return _files(folder).get(name) or Path(load(folder, name).__file__ or "")


def package(name: str, otherwise: str) -> ModuleType:
    """The package, imported now. Raises DataError with the sentence `otherwise` when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(otherwise) from None
