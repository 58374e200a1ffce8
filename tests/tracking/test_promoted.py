"""Versions that a person has made of a model: promoted, or entered under another name."""

from __future__ import annotations

from collections.abc import Callable

from mlflow import MlflowClient

from sslseg.tracking import session
from sslseg.tracking.registry import resolve
from sslseg.tracking.upkeep import retention
from tests.fixtures.registered import weight_of


def test_a_model_is_what_it_is_under_whatever_name_a_person_registers_it(store: str, log: Callable[..., str]):
    """Promoted, entered under the name of another run, or in a registered model without any tag."""
    api = MlflowClient(store)
    with session.open_run("pretrain") as run:
        ids = {epoch: log(run, float(epoch), epoch=epoch, step=10 * epoch) for epoch in (0, 5, 25)}
    with session.open_run("pretrain") as other:
        stranger = log(other, 3.0, kind="segmenter", name="unet-r", role="fine-tuned")
    original = next(row for row in resolve.versions() if row["model_id"] == ids[25])
    api.copy_model_version(f"models:/{original['name']}/{original['version']}", "mine")
    api.copy_model_version("models:/mine/1", "ours")
    api.create_registered_model("loose")
    api.create_model_version("loose", f"models:/{ids[5]}", other.id)  # not the run that made it
    api.create_model_version("encoder-resnet18", f"models:/{stranger}", run.id)  # not the kind of the others
    for reference, wanted in (("models:/mine/1", 25.0), ("models:/ours/1", 25.0), ("models:/loose/1", 5.0)):
        found = resolve.resolve(reference)
        assert (weight_of(found), found.run_id) == (wanted, run.id)
    shown = {row["name"]: (row["model_id"], row["run_id"]) for row in resolve.versions()}
    assert shown["mine"] == shown["ours"] == (ids[25], run.id)
    assert shown["loose"] == (ids[5], run.id)
    assert stranger not in {row["model_id"] for row in resolve.versions()}
    assert {row["run_id"] for row in resolve.versions("segmenter") if row["model_id"] == stranger} == {
        other.id
    }
    api.set_registered_model_alias("loose", "best", "1")
    assert ids[5] not in {doomed.model_id for doomed in retention.plan()}
    assert ids[0] in {doomed.model_id for doomed in retention.plan()}
