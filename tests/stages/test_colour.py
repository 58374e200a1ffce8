"""Colour to grey: an encoder of colour photographs goes on with grey slices, and sees them as their replicas."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from sslseg.commands import lineage as lineage_command
from sslseg.config import names
from sslseg.config.names import PRETRAIN, EncoderError
from sslseg.data import outside
from sslseg.models import encoder
from sslseg.stages.intake import upstream
from sslseg.tracking import lineage
from sslseg.tracking.registry import resolve
from tests.fixtures import foreign_trees
from tests.fixtures.tiny_runs import Tiny, client, get, models
from tests.fixtures.tiny_sweeps import swept, table

PIPELINE = "byol@natural+byol@target"


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_papers_row_runs_on_a_folder_of_colour_photographs(
    tiny: Tiny, store: str, tmp_path: Path, capsys: pytest.CaptureFixture
):  # fmt: skip
    photographs = foreign_trees.photographs(tmp_path / "photographs")
    found = table(swept(tiny, pipelines=(PIPELINE,), natural="images", natural_root=str(photographs)))
    assert set(found) == {"byol@images", "byol@images+byol@acdc", "byol@images+byol@acdc/n=3/seed=0"}
    colour, grey = found["byol@images"], found["byol@images+byol@acdc"]
    tuned = get(found["byol@images+byol@acdc/n=3/seed=0"])
    assert tuned.data.tags[names.TAG_PIPELINE] == PIPELINE

    # features of a grey image agree: three replicas through the donor, one channel through what the next stage got
    wide = encoder.from_state(*encoder.read_state(resolve.resolve(colour, cache=str(tiny.cache)).path))
    p = tiny.params(PRETRAIN, encoder=colour)
    source = upstream.fetch(p)
    narrow = encoder.from_state(source.state, source.config)
    image = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        seen, expected = narrow.eval()(image), wide.eval()(image.expand(-1, 3, -1, -1))
    assert expected.std() > 1e-3
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-5)
    assert source.summed

    # who took it over says so: on the run, on its card, in the lineage
    assert get(grey).data.tags[names.TAG_SUMMED] == "3"
    assert names.TAG_SUMMED not in tuned.data.tags
    assert [hop.summed for hop in lineage.walk(tuned.info.run_id)] == ["3", "", ""]
    said = "handed on with its first layer summed from 3 channels to 1"
    versions = client().search_model_versions(f"run_id = '{grey}'")
    assert any(said in (version.description or "") for version in versions)
    lineage_command.run(_asked(grey))
    assert said in capsys.readouterr().out
    assert {encoder.channels_of(encoder.read_state(resolve.resolve(m, cache=str(tiny.cache)).path)[1]) for m in
            (colour, grey)} == {3, 1}  # fmt: skip
    assert models(grey)

    texts = tiny.texts(PRETRAIN, encoder=grey) | {"dataset": "images", "data_root": str(photographs)}
    with pytest.raises(EncoderError, match=rf"run {grey}: its encoder reads 1 channels, the data has 3: an encoder "
                                           "of grey images cannot tell one colour from another"):  # fmt: skip
        tiny.run(PRETRAIN, **{k: v for k, v in texts.items() if k not in ("cache", "architecture")})


def _asked(run_id: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    lineage_command.arguments(parser)
    return parser.parse_args([run_id])


@pytest.mark.parametrize(
    ("theirs", "data", "called", "fault"),
    [
        (3, 1, (), ""),
        (3, 1, ("R", "G", "B"), ""),
        (3, 3, ("T1", "T2", "FLAIR"), ""),
        (3, 1, ("T1", "T2", "FLAIR"), "only an encoder of RGB pictures is summed, to grey"),
        (1, 3, (), "Read the pictures in grey"),
        (2, 1, (), "import_encoder has channels="),
        (1, 2, (), "import_encoder has channels="),
        (3, 4, (), "import_encoder has channels="),
    ],
)
def test_only_colours_are_summed(theirs: int, data: int, called: tuple[str, ...], fault: str):
    found = outside.misfit(theirs, data, called)
    assert bool(found) == bool(fault)
    assert fault in found
