"""The MLflow flavor of encoders and segmenters: a folder that is copied, and an MLmodel file.

MLflow's own torch flavor pickles, or traces a graph that cannot be fine-tuned (`pt2`). Here the model
is what its folder holds: `model.safetensors` and `config.json`, which timm opens as a `local-dir`.
As `python_function` it takes images and gives masks or features; MLflow imports `LOADER` by name, where this project is
installed.
"""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from sslseg.config.names import CONFIG_FILE, KIND_ENCODER, KIND_SEGMENTER, WEIGHTS_FILE, EncoderError
from sslseg.tracking.registry.files import read_config

FLAVORS = {KIND_ENCODER: "sslseg_encoder", KIND_SEGMENTER: "sslseg_segmenter"}
FORMAT = "safetensors"
MLMODEL = "MLmodel"
LOADER = "sslseg.models.exporters.served"


def save_model(path: str | Path, mlflow_model: Model, *, folder: str | Path, kind: str) -> None:
    """Write the content of `folder` and its MLmodel to `path`, which must not exist.

    Raises:
        EncoderError: the weights or the config are not in `folder`.
    """
    missing = [name for name in (WEIGHTS_FILE, CONFIG_FILE) if not (Path(folder) / name).is_file()]
    if missing:
        raise EncoderError(f"{folder}: not a {kind} folder, there is no {' and no '.join(missing)}")
    shutil.copytree(folder, path)
    mlflow_model.add_flavor(
        FLAVORS[kind], weights=WEIGHTS_FILE, config=CONFIG_FILE, serialization_format=FORMAT
    )
    mlflow_model.add_flavor("python_function", loader_module=LOADER, python_version=platform.python_version())
    mlflow_model.signature = signature(read_config(Path(path)), kind)
    mlflow_model.save(str(Path(path) / MLMODEL))


def signature(config: Mapping[str, Any], kind: str) -> ModelSignature:
    """What the model of a config takes and gives as `python_function`; see `models/exporters/served.py`."""
    channels = int(config.get("model_args", {}).get("in_chans", 3))
    images = Schema([TensorSpec(np.dtype("float32"), (-1, channels, -1, -1))])
    if kind == KIND_ENCODER:
        return ModelSignature(images, Schema([TensorSpec(np.dtype("float32"), (-1, -1))]))
    spacing = ParamSchema([ParamSpec("spacing", DataType.double, [0.0, 0.0], (-1,))])
    return ModelSignature(images, Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1))]), spacing)


def check(path: str | Path, kind: str, context: str) -> None:
    """Make sure that a stored model is of this flavor and can be read without unpickling anything.

    Args:
        context: what to name in the error: the run it came from.

    Raises:
        EncoderError: a file is missing, or it is another flavor or format.
    """
    missing = [name for name in (MLMODEL, WEIGHTS_FILE, CONFIG_FILE) if not (Path(path) / name).is_file()]
    if missing:
        raise EncoderError(f"{context}: missing artifact, there is no {', '.join(missing)} in {path}")
    try:
        flavors = Model.load(str(path)).flavors
    except (MlflowException, ValueError, TypeError) as error:
        raise EncoderError(f"{context}: {path}/{MLMODEL} cannot be read ({error})") from error
    found = flavors.get(FLAVORS[kind], {})
    if found.get("serialization_format") != FORMAT:
        what = ", ".join(f"{k} ({v.get('serialization_format', 'no format')})" for k, v in flavors.items())
        raise EncoderError(
            f"{context}: wanted flavor {FLAVORS[kind]} ({FORMAT}), found {what or 'none'} in {path}"
        )
