"""A registered model as MLflow hands it out: arrays in, masks or features out, the same as everywhere else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info

import sslseg
from sslseg.config import names
from sslseg.config.names import DataError
from sslseg.data.slices.intensity import Intensity
from sslseg.models import encoder, inference
from sslseg.models.exporters import served
from sslseg.tracking import session
from sslseg.tracking.registry import resolve
from tests.fixtures import trained_models

# mlflow 3.17.2: at the first import of its pyfunc
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
DRAW = np.random.default_rng(0)
IMAGES = DRAW.integers(0, 900, (3, 1, 41, 30)).astype(np.float32)  # three slices of a volume


@pytest.fixture(scope="module")
def registered(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net and an encoder in the registry, written under the umask of a careful group."""
    folder, old = tmp_path_factory.mktemp("models"), os.umask(0o027)
    try:
        trained_models.register(folder / "unet")
        net = encoder.build("test_resnet", 1, 3)
        encoder.save(
            net,
            folder / "encoder",
            architecture="test_resnet",
            channels=1,
            normalisation={"mean": [0.3], "std": [0.2]},
        )
        with session.open_run(names.IMPORT) as run:
            resolve.log_encoder(run, folder / "encoder", name="encoder-test", role=names.ROLE_IMPORTED,
                                method="unknown", dataset="", lineage="unknown")  # fmt: skip
    finally:
        os.umask(old)
    return folder


@pytest.mark.parametrize("spacing", [None, (1.0, 1.5)])
def test_a_unet_gives_masks(registered: Path, spacing: tuple | None):
    model = mlflow.pyfunc.load_model("models:/unet-test/latest")
    mask = model.predict(IMAGES, params={"spacing": list(spacing)} if spacing else None)
    own = inference.open_model(registered / "unet")
    wanted = inference.segment([own], IMAGES.transpose(1, 0, 2, 3), (1.0, *(spacing or (2.0, 2.0))))
    assert (mask.shape, mask.dtype) == ((3, 41, 30), np.uint8)
    assert len(np.unique(mask)) > 1
    np.testing.assert_array_equal(mask, wanted)


def test_an_encoder_gives_features(registered: Path):
    model = mlflow.pyfunc.load_model("models:/encoder-test/1")
    found = model.predict(IMAGES)
    low, high = np.percentile(IMAGES, 1), np.percentile(IMAGES, 99)
    x = ((IMAGES.clip(low, high) - low) / (high - low) - 0.3) / 0.2
    with torch.no_grad():
        wanted = encoder.load(registered / "encoder").eval()(torch.from_numpy(x)).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, wanted, rtol=2e-2, atol=2e-2 * abs(wanted).max()
    )  # percentiles of 16-bit codes
    assert sslseg.load_encoder("models:/encoder-test/latest")(torch.from_numpy(x)).shape == found.shape


def test_the_signature_is_in_the_registry(registered: Path):
    unet, features = (get_model_info(f"models:/{name}/1").signature for name in ("unet-test", "encoder-test"))
    assert [tuple(t.shape) for t in (unet.inputs.inputs[0], unet.outputs.inputs[0])] == [
        (-1, 1, -1, -1),
        (-1, -1, -1),
    ]
    assert [t.type for t in (unet.inputs.inputs[0], unet.outputs.inputs[0])] == [np.float32, np.uint8]
    assert unet.params.params[0].name == "spacing"
    assert tuple(features.outputs.inputs[0].shape) == (-1, -1)
    model = mlflow.pyfunc.load_model("models:/unet-test/1")
    with pytest.raises(MlflowException, match=r"does not match expected shape \(-1, 1, -1, -1\)"):
        model.predict(IMAGES[0, 0])


def test_what_is_no_image_is_a_sentence(registered: Path):
    model = served._load_pyfunc(str(registered / "unet"))
    for images in (IMAGES[0], np.repeat(IMAGES, 2, 1)):
        with pytest.raises(DataError, match=r"wanted images \[B, 1, H, W\], got an array of shape"):
            model.predict(images)
    with pytest.raises(DataError, match=r"wanted images \[B, 1, H, W\]: .*inhomogeneous"):
        model.predict([[[[1.0, 2.0], [3.0]]]])
    for spacing in ([1.0], [1.0, -1.0], [float("nan"), 1.0], [float("inf"), 1.0], "wide", None):
        with pytest.raises(DataError, match=r"spacing: wanted \[y, x\] in mm"):
            model.predict(IMAGES, {"spacing": spacing})
    with pytest.raises(DataError):
        model.predict(np.full_like(IMAGES, np.nan))


def test_the_law_of_the_original_code_is_kept(tmp_path: Path):
    net = encoder.build("test_resnet", 1, 0)
    law = Intensity("paper-code").to_json()
    encoder.save(net, tmp_path, architecture="test_resnet", channels=1, normalisation=law)
    assert served._load_pyfunc(str(tmp_path)).model.normalisation.kind == "paper-code"


def test_the_group_may_read_every_file(registered: Path):
    """As the umask has it, and not as safetensors has it: nobody but the owner."""
    for name in ("unet-test", "encoder-test"):
        found = resolve.resolve(
            f"models:/{name}/1", kind=names.KIND_SEGMENTER if "unet" in name else names.KIND_ENCODER
        )
        own = (names.WEIGHTS_FILE, names.CONFIG_FILE, "MLmodel")
        modes = {name: stat.S_IMODE((found.path / name).stat().st_mode) for name in own}
        assert set(modes.values()) == {0o640}, modes


@pytest.mark.slow
def test_mlflow_models_serve_answers_over_http(registered: Path):
    """`mlflow models predict` reads and writes by the same code."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/unet-test/latest", "--env-manager",
               "local", "-p", str(port)]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # as in an activated environment: uvicorn
    env = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True)
    try:
        said = []
        for line in server.stderr:
            said.append(line)
            if "Uvicorn running on" in line:
                break
        else:
            pytest.fail("".join(said))
        body = json.dumps({"inputs": IMAGES.tolist(), "params": {"spacing": [2.0, 2.0]}}).encode()
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as answer:
            found = np.array(json.load(answer)["predictions"])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.stderr.close()
        server.wait()
    np.testing.assert_array_equal(found, mlflow.pyfunc.load_model("models:/unet-test/1").predict(IMAGES))
