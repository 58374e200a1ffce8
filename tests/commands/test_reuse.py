"""`sslseg reuse`: a finished run of other code is found again, once somebody vouches for it."""

from __future__ import annotations

import json

import pytest

from sslseg import __main__
from sslseg.config import names
from sslseg.data import training_set
from sslseg.stages import finetune
from sslseg.tracking import identity, manifest, session
from tests.fixtures.tiny_runs import FINETUNE, PREPARE, Tiny, client, get


@pytest.fixture
def run_id(tiny: Tiny, store: str) -> str:
    """A fine-tuning's record, as it is after its end; nothing is trained."""
    p = tiny.params(FINETUNE)
    return _left(tiny, FINETUNE, finetune.identify(p))


def _left(tiny: Tiny, stage: str, known: str, **changed: object) -> str:
    p = tiny.params(stage, **changed)
    digest = training_set.store(tiny.params(stage)).digest
    tags = {names.TAG_IDENTITY: known, names.TAG_DATA_DIGEST: digest, names.TAG_SWEEP: "f" * 32}
    with session.open_run(stage, tags=tags) as run:
        manifest.start(run, p, None, "cpu")
    return run.id


def test_runs_of_other_code_are_listed_and_taken_over(run_id: str, tiny: Tiny, monkeypatch, capsys):
    made = get(run_id).data.tags[names.TAG_IDENTITY]
    monkeypatch.setattr(identity, "code_digest", lambda *_: "other code")
    now = finetune.identify(tiny.params(FINETUNE))
    assert now != made
    assert __main__.main(["reuse", run_id]) == 0
    listed = capsys.readouterr().out
    assert f"{run_id}  " in listed
    assert listed.endswith(": of other code\n1 of 1 runs of other code; --write takes them over\n")
    assert session.find(now) is None
    assert __main__.main(["reuse", "f" * 32, "--write"]) == 0  # by its sweep
    assert capsys.readouterr().out.endswith("\n1 of 1 runs taken over\n")
    assert session.find(now) == run_id
    assert get(run_id).data.tags[names.TAG_IDENTITY_MADE] == made
    assert __main__.main(["reuse", run_id, "--write"]) == 0
    assert "as this code makes it" in capsys.readouterr().out
    assert get(run_id).data.tags[names.TAG_IDENTITY_MADE] == made
    client().delete_run(run_id)


def test_runs_on_other_data_or_with_settings_that_are_no_more_are_left_alone(tiny: Tiny, store: str, capsys):
    other = _left(tiny, PREPARE, "1", data_root=tiny.other)
    assert __main__.main(["reuse", other, "--write"]) == 1
    printed = capsys.readouterr()
    assert f"its data are not those of {tiny.other} today" in printed.out
    assert printed.err == "sslseg reuse: 1 runs cannot be taken over\n"
    assert get(other).data.tags[names.TAG_IDENTITY] == "1"
    assert __main__.main(["reuse", other, f"--data_root={tiny.root}"]) == 0  # as where they have moved
    assert "1 of 1 runs of other code" in capsys.readouterr().out
    client().delete_run(other)
    older = _left(tiny, PREPARE, "1")
    written = manifest.read(older)
    written["params"]["gone"] = "1"
    client().log_text(older, json.dumps(written), manifest.FILE)
    assert __main__.main(["reuse", older, "--write"]) == 1
    assert "unknown parameter 'gone'" in capsys.readouterr().out
    client().delete_run(older)
