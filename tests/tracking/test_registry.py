"""What a reference means, and that it is refused with a sentence when it means nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.models import Model

from sslseg.config import names
from sslseg.config.names import EncoderError, SslsegError
from sslseg.tracking import session
from sslseg.tracking import store as stores
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve
from sslseg.tracking.upkeep import doctor
from tests.fixtures.registered import weight_of

EPOCHS = {0: 0.0, 5: 5.0, 25: 25.0}


@pytest.fixture(scope="module")
def registered(store: str, log: Callable[..., str]) -> None:
    """Something is, as `encoder-resnet18`."""
    with session.open_run("pretrain") as run:
        log(run, 1.0, epoch=1, alias="byol-photos")


@pytest.fixture
def donor(store: str, log: Callable[..., str]) -> tuple[str, dict[int, str]]:
    """A pretraining that kept three epochs of the target network and one of the online one."""
    with session.open_run("pretrain") as run:
        log(run, 77.0, role="online", epoch=25, step=250, register=False)
        ids = {epoch: log(run, value, epoch=epoch, step=10 * epoch) for epoch, value in EPOCHS.items()}
    return run.id, ids


def test_every_form_of_a_reference_finds_its_weights(donor, store: str):
    run_id, ids = donor
    version = next(row for row in resolve.versions() if row["model_id"] == ids[5])["version"]
    forms = {
        run_id: 25, f"runs:/{run_id}": 25, f"runs:/{run_id}/encoder": 25,
        f"runs:/{run_id}/encoder-target-epoch5": 5, "models:/encoder-resnet18@byol-photos": 25,
        f"models:/encoder-resnet18/{version}": 5, f"models:/{ids[0]}": 0,
    }  # fmt: skip
    for reference, value in forms.items():
        assert weight_of(resolve.resolve(reference)) == value, reference
    assert weight_of(resolve.resolve(run_id, epoch=5)) == 5.0
    online = resolve.resolve(run_id, role="online")
    assert (weight_of(online), online.role, online.epoch, online.version) == (77.0, "online", 25, "")
    assert resolve.normalisation(online) == {"mean": [0.5], "std": [0.5]}


def test_latest_is_the_highest_number_and_not_the_last_word(store: str, log: Callable[..., str]):
    with session.open_run("pretrain") as run:
        made = [log(run, 100.0 + step, name="encoder-tenfold", epoch=step, step=step) for step in range(10)]
    assert resolve.resolve("models:/encoder-tenfold/latest").model_id == made[-1]  # 10, after 9
    MlflowClient(store).delete_model_version("encoder-tenfold", "10")
    assert resolve.resolve("models:/encoder-tenfold/latest").model_id == made[-2]


@pytest.fixture
def twins(store: str, log: Callable[..., str]) -> tuple[str, dict[tuple[str, int], str]]:
    """A pretraining that kept target and online network at two epochs."""
    kept = [(role, epoch) for epoch in (5, 25) for role in ("target", "online")]
    with session.open_run("pretrain") as run:
        ids = {
            (role, epoch): log(run, float(i), role=role, epoch=epoch, step=10 * epoch)
            for i, (role, epoch) in enumerate(kept)
        }
    return run.id, ids


@pytest.mark.parametrize(
    ("deleted", "asked", "listed"),
    [
        (("target", 25), {}, [("target", 5), ("online", 5), ("online", 25)]),  # not the epoch before it
        (("target", 25), {"epoch": 25}, [("target", 5), ("online", 5), ("online", 25)]),
        (("target", 5), {"epoch": 5}, [("target", 25), ("online", 5), ("online", 25)]),
        (("online", 25), {"role": "online", "epoch": 25}, [("target", 5), ("target", 25), ("online", 5)]),
        (("online", 25), {"role": "online"}, [("target", 5), ("target", 25), ("online", 5)]),
    ],
)
def test_a_deleted_network_is_not_replaced_by_another_one(
    twins, store: str, deleted, asked: dict, listed: list
):
    run_id, ids = twins
    MlflowClient(store).delete_logged_model(ids[deleted])
    with pytest.raises(EncoderError) as error:
        resolve.resolve(run_id, **asked)
    first, *rows = str(error.value).splitlines()
    assert f"models that this run logged were deleted (1, of step {10 * deleted[1]})" in first
    assert {row.split()[0] for row in rows} == {f"models:/{ids[one]}" for one in listed}


def test_the_online_network_is_not_taken_for_a_target_that_was_deleted(twins, store: str):
    """Also where no target is left at all: a run without one, as of SimCLR, hands on its online network."""
    run_id, ids = twins
    for epoch in (5, 25):
        MlflowClient(store).delete_logged_model(ids["target", epoch])
    for asked in ({}, {"epoch": 5}, {"epoch": 25}):
        with pytest.raises(EncoderError, match=r"were deleted \(2, of step 50, 250\)"):
            resolve.resolve(run_id, **asked)
    assert resolve.resolve(run_id, role="online").model_id == ids["online", 25]
    for epoch in (5, 25):
        MlflowClient(store).delete_logged_model(ids["online", epoch])
    with pytest.raises(EncoderError, match=r"were deleted \(4, of step 50, 50, 250, 250\). There is none$"):
        resolve.resolve(run_id)


def test_what_is_thinned_out_before_the_last_takes_nothing_away(donor, store: str):
    run_id, ids = donor
    MlflowClient(store).delete_logged_model(ids[5])
    assert resolve.resolve(run_id).model_id == ids[25]
    assert resolve.resolve(run_id, epoch=0).model_id == ids[0]


def test_a_local_store_is_read_in_place(donor, store: str, tmp_cache: Path):
    first, second = (resolve.resolve(donor[0]) for _ in range(2))
    assert first == second
    assert first.path.is_relative_to(Path(store.removeprefix("sqlite:///")).parent / "mlruns")
    assert list(tmp_cache.iterdir()) == []


def test_the_folder_is_a_flavor_without_pickle_and_carries_its_card(donor):
    resolved = resolve.resolve(donor[0])
    flavors = Model.load(str(resolved.path)).flavors
    assert flavors["sslseg_encoder"]["serialization_format"] == "safetensors"
    found = sorted(p.name for p in resolved.path.iterdir())
    assert found == ["MLmodel", "card.md", "config.json", "model.safetensors"]
    assert resolved.tags[names.MODEL_DOMAIN] == "natural"
    assert resolved.tags[names.MODEL_ORIGIN] == "a test"


def test_version_carries_card_and_tags_and_the_newest_takes_the_alias(donor, store: str):
    version = MlflowClient(store).get_model_version_by_alias("encoder-resnet18", "byol-photos")
    assert version.description == "# A card"
    assert version.run_id == donor[0]
    assert version.tags[names.MODEL_EPOCH] == "25"
    outputs = MlflowClient(store).get_run(donor[0]).outputs.model_outputs
    assert {o.model_id for o in outputs} > set(donor[1].values())


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("/etc/passwd", "not a reference"),
        ("file:///etc/hostname", "not a reference"),
        ("http://evil/x", "not a reference"),
        ("runs:/../../x", "not a reference"),
        ("models:/encoder-resnet18/newest", "not a reference"),
        ("models:/nothing/latest", "nothing is registered as .nothing."),
        ("", "not a reference"),
        ("0" * 32, f"run {'0' * 32}: unknown"),
        ("models:/nothing/1", "nothing is registered as 'nothing'"),
        ("models:/encoder-resnet18@nope", "no such alias; it has byol-photos"),
        ("models:/encoder-resnet18/999", "version 999 .* was never made"),
        (f"models:/m-{'0' * 32}", "there is no model"),
    ],
)
def test_what_means_nothing_is_refused(registered, reference: str, message: str):
    with pytest.raises(EncoderError, match=message):
        resolve.resolve(reference)


def test_what_is_not_there_is_listed(donor):
    with pytest.raises(EncoderError, match=f"(?s)run {donor[0]}.*epoch 3; there is none:.*epoch 5, step 50"):
        resolve.resolve(donor[0], epoch=3)
    with pytest.raises(EncoderError, match=f"run {donor[0]} .* has logged no segmenter"):
        resolve.resolve(donor[0], kind="segmenter")
    with pytest.raises(EncoderError, match="wanted epoch 3, it is epoch 5"):
        resolve.resolve(f"models:/{donor[1][5]}", epoch=3)


def test_two_that_fit_are_an_error_that_lists_them(store: str, log):
    with session.open_run("pretrain") as run:
        twins = [log(run, value, epoch=1, step=1) for value in (1.0, 2.0)]
    with pytest.raises(EncoderError) as error:
        resolve.resolve(run.id)
    assert all(twin in str(error.value) for twin in twins)


@pytest.mark.parametrize("role", ["imported", "fine-tuned", "online"])
def test_a_run_without_a_target_network_hands_on_its_other_one(store: str, log, role: str):
    with session.open_run("import_encoder") as run:
        log(run, 3.0, role=role)
        log(run, 4.0, kind="segmenter", name="unet", role="fine-tuned")
    assert weight_of(resolve.resolve(run.id)) == 3.0
    assert weight_of(resolve.resolve(run.id, kind="segmenter")) == 4.0


def test_state_of_the_upstream_run(store: str, log):
    api = MlflowClient(store)
    with session.open_run("pretrain") as failed:
        kept = log(failed, 1.0, epoch=1)
    session.close(failed.id, "FAILED", "ValueError: boom")
    with pytest.raises(EncoderError, match=rf"run {failed.id} \(pretrain\) is FAILED: ValueError: boom"):
        resolve.resolve(failed.id)
    assert weight_of(resolve.resolve(f"models:/{kept}")) == 1.0
    with (
        session.open_run("pretrain") as running,
        pytest.raises(EncoderError, match=f"{running.id}.*RUNNING"),
    ):
        resolve.resolve(running.id)
    with pytest.raises(EncoderError, match=rf"run {running.id} \(pretrain\) has logged no encoder"):
        resolve.resolve(running.id)
    api.delete_run(running.id)
    with pytest.raises(EncoderError, match=f"run {running.id} was deleted"):
        resolve.resolve(running.id)


def test_a_pointer_leads_to_the_run_that_went_on(donor, store: str):
    with session.open_run("pretrain") as pointer:
        pass
    session.close_as_pointer(pointer.id, donor[0])
    assert resolve.resolve(pointer.id).run_id == donor[0]


def test_deleted_version_names_its_run(store: str, log):
    with session.open_run("pretrain") as run:
        model = log(run, 1.0, name="doomed")
    MlflowClient(store).delete_model_version("doomed", "1")
    with pytest.raises(EncoderError, match=f"was deleted; run {run.id} logged it as models:/{model}"):
        resolve.resolve("models:/doomed/1")


def test_changed_and_missing_files_are_found(store: str, log):
    with session.open_run("pretrain") as run:
        log(run, 1.0)
    resolved = resolve.resolve(run.id)
    weights = resolved.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(
        EncoderError, match=f"run {run.id}.*expected sha256 {resolved.sha256}, actual [0-9a-f]{{64}}"
    ):
        resolve.resolve(run.id)
    weights.unlink()
    with pytest.raises(EncoderError, match=f"run {run.id}: missing artifact, there is no model.safetensors"):
        resolve.resolve(run.id)


def test_another_flavor_is_refused(store: str, log):
    with session.open_run("pretrain") as run:
        log(run, 1.0)
    path = resolve.resolve(run.id).path / "MLmodel"
    path.write_text(
        path.read_text().replace("serialization_format: safetensors", "serialization_format: pickle")
    )
    with pytest.raises(EncoderError, match=r"wanted flavor sslseg_encoder \(safetensors\), found .*pickle"):
        resolve.resolve(run.id)


def test_a_remote_model_is_downloaded_once(
    donor, store: str, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    model_id = donor[1][5]
    stored = resolve.resolve(f"models:/{model_id}").path
    monkeypatch.setattr(
        "mlflow.entities.LoggedModel.artifact_location", property(lambda m: f"mlflow-artifacts:/{m.model_id}")
    )
    calls = []

    def download(artifact_uri: str, dst_path: str, tracking_uri: str) -> str:
        calls.append(artifact_uri)
        return shutil.copytree(stored, f"{dst_path}/artifacts")

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    for _ in range(2):
        resolved = resolve.resolve(f"models:/{model_id}")
        assert resolved.path == tmp_cache / "models" / model_id
        assert weight_of(resolved) == 5.0
    assert calls == [f"mlflow-artifacts:/{model_id}"]


def test_a_renamed_model_and_a_deleted_experiment_are_called_what_they_are(
    store: str, log: Callable[..., str]
):
    api = MlflowClient(store)
    place = stores.ensure_experiment("to be deleted", store)
    with session.open_run("pretrain", experiment_id=place) as run:
        log(run, 3.5, name="encoder-renamed", epoch=1, step=1)
    api.rename_registered_model("encoder-renamed", "encoder of ours")
    for end in ("/1", "@byol-photos", "/latest"):
        with pytest.raises(EncoderError, match="'encoder-renamed' was renamed: it is 'encoder of ours' now"):
            resolve.resolve(f"models:/encoder-renamed{end}")
        assert resolve.resolve(f"models:/encoder of ours{end}").run_id == run.id
    api.delete_experiment(place)
    gone = f"experiment 'to be deleted' was deleted; `mlflow experiments restore -x {place}` brings it back"
    with pytest.raises(EncoderError, match=f"{re.escape(gone)}, and its runs with it"):
        resolve.resolve(run.id)
    for act in (
        lambda: frames.runs("to be deleted"),
        lambda: frames.runs(place),
        lambda: stores.ensure_experiment("to be deleted"),
    ):
        with pytest.raises(SslsegError, match=re.escape(gone)):
            act()
    with pytest.raises(SslsegError, match=re.escape(gone)), session.open_run("pretrain", experiment_id=place):
        pass
    assert [
        f for f in doctor.examine(store, Path("none")) if "was deleted" in f.fault and "of ours" in f.subject
    ] == []  # nothing to be thrown away
    api.restore_experiment(place)
    assert resolve.resolve(run.id).run_id == run.id
