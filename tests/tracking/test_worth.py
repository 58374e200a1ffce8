"""An analysis' finding leads the registry's description, once, and leaves the card below it alone."""

from __future__ import annotations

from mlflow import MlflowClient

from sslseg.config import names
from sslseg.tracking import session
from sslseg.tracking.registry import logged, resolve, worth

CARD = "# A card\n\n> a quotation of its own\n"
FIRST, SECOND = "Worth +3 slices of scratch.", "Worth +9 [4, > 20] slices\nof <b>scratch</b>."


def test_the_finding_leads_and_the_next_one_takes_its_place() -> None:
    once = worth.lead(CARD, FIRST)
    assert once == f"> {FIRST}\n\n{CARD}"
    twice = worth.lead(once, SECOND)
    assert twice == f"> Worth +9 [4, > 20] slices of &lt;b>scratch&lt;/b>.\n\n{CARD}"
    assert len(worth.lead("x" * 10_000, FIRST)) == 5000  # MLflow's column


def test_every_version_and_the_model_itself_carry_it(store: str, model_folder) -> None:
    facts = {
        "name": "encoder-r",
        "role": "target",
        "method": "byol",
        "dataset": "photos",
        "lineage": "byol@photos",
    }
    with session.open_run("pretrain") as run:
        model = resolve.log_encoder(run, model_folder(1.0), card=CARD, **facts)
        other = resolve.log_encoder(run, model_folder(2.0), card=CARD, epoch=0, **facts)
    assert worth.put(model, FIRST) == 1
    assert worth.put(model, SECOND) == 1
    api = MlflowClient(store)
    said = {logged.model_id_of(v): v.description for v in api.search_model_versions("name = 'encoder-r'")}
    assert said[model] == worth.lead(CARD, SECOND)
    assert said[other] == CARD
    assert api.get_logged_model(model).tags[names.MODEL_WORTH] == SECOND
    assert resolve.resolve(run.id, epoch=0).model_id == other  # a described encoder is found as before


def test_a_model_that_is_gone_is_passed_over(store: str) -> None:
    assert worth.put("m-" + "0" * 32, FIRST) == 0
