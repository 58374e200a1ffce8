"""The stage: files in the run's artifacts, linked with the model they come from, and nothing of the user's is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sslseg import execute
from sslseg.config import flags, names, params
from sslseg.config.names import EXPORT, KIND_SEGMENTER, EncoderError, ParamError
from sslseg.models import encoder
from sslseg.models.importers import checkpoint
from sslseg.tracking import session
from sslseg.tracking.registry import resolve
from tests.fixtures import trained_models
from tests.fixtures.tiny_runs import client, get


def exported(model: str, **told: object) -> str:
    given = {"model": model, "threads": "1", **told}
    return execute.execute(EXPORT, flags.resolve(flags.from_mapping(params.Export, given)))


@pytest.fixture(scope="module")
def run_id(store: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("encoder")
    encoder.save(
        encoder.build("resnet18", 1, 3),
        folder,
        architecture="resnet18",
        channels=1,
        normalisation={"mean": [0.3], "std": [0.2]},
    )
    with session.open_run(names.IMPORT) as run:
        resolve.log_encoder(run, folder, name="encoder-x", role=names.ROLE_IMPORTED, method="unknown", dataset="",
                            lineage="unknown@unknown")  # fmt: skip
    return run.id


def test_files_are_logged_linked_and_copied(run_id: str, tmp_path: Path, capsys):
    out = tmp_path / "out"
    export = exported(run_id, formats="timm,torchvision", out=str(out))
    printed = capsys.readouterr().out
    assert "torchvision  torchvision/resnet18.pth" in printed
    found = resolve.resolve(run_id)
    run, model = get(export), client().get_logged_model(found.model_id)
    assert run.inputs.model_inputs[0].model_id == found.model_id
    assert run.data.tags[names.TAG_UPSTREAM_RUN] == run_id
    assert model.tags[names.MODEL_EXPORT] == export
    assert get(model.source_run_id).data.tags[names.MODEL_EXPORT] == export
    assert 0 <= run.data.metrics["export/gap/torchvision"] <= 1e-4
    there = {f.path for f in client().list_artifacts(export, "export")}
    assert there == {"export/README.md", f"export/{names.EXPORT_FILE}", "export/timm", "export/torchvision"}
    table = json.loads((out / names.EXPORT_FILE).read_text())
    assert [row["format"] for row in table["formats"]] == ["timm", "torchvision"]
    assert table["sha256"] == found.sha256
    assert "mean [0.3] and sd [0.2]" in (out / "README.md").read_text()
    # and back in: the same weights
    back = checkpoint.read(out / "torchvision" / "resnet18.pth")
    state, _ = encoder.read_state(found.path)
    assert (back.architecture, back.channels) == ("resnet18", 1)
    assert all(torch.equal(back.state[k], v) for k, v in state.items())
    with pytest.raises(ParamError, match=r"out: .* is there already and not an empty folder"):
        exported(run_id, formats="timm", out=str(out))


def test_a_fine_tuned_unet_by_kind(store: str, tmp_path: Path):
    trained_models.register(tmp_path / "unet")
    export = exported("models:/unet-test/latest", kind=KIND_SEGMENTER, formats="smp")
    assert get(export).data.metrics["export/gap/smp"] <= 1e-4
    page = Path(client().download_artifacts(export, "export/README.md", str(tmp_path))).read_text()
    assert "Classes: background, RV, MYO, LV. Pixels: 2.0 mm." in page
    with pytest.raises(EncoderError, match="wanted an encoder, run .* logged it as segmenter"):
        exported("models:/unet-test/latest")
    with pytest.raises(ParamError, match="formats: timm: a segmenter is exported as smp"):
        exported("models:/unet-test/latest", kind=KIND_SEGMENTER, formats="timm")
