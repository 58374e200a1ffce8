"""A small sweep by several workers, through PostgreSQL and `mlflow server`, and into a file: the same figures."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from analysis import __main__
from analysis.page import make
from sslseg import execute
from sslseg.commands import pack, unpack
from sslseg.config import flags, names, params
from sslseg.tracking import session
from sslseg.tracking.history import frames
from sslseg.tracking.registry import resolve
from team import accounts, demo
from tests.fixtures import one_process

PARTS = ("fig1", "fig3a", "fig3b", "fig4", "scores", "verdict", "encoders", "runs")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def swept(team_server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the figures of both: `sqlite` and `server`."""
    folder = tmp_path_factory.mktemp("sweeps")
    accounts.add(team_server)
    data = demo.phantom(folder / "data")
    file = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/file/mlflow.db"}
    member = team_server.environment(accounts.MEMBER)
    demo.sweep(data, folder / "cache-server", member)  # its workers are processes, as a team's are
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "_python", _in_this_process)
        demo.sweep(data, folder / "cache-sqlite", file)
        for name, environment in {"sqlite": file, "server": member}.items():
            demo.figures(folder / name, environment, *PARTS)
    return folder


def _in_this_process(words: list[str], environment: Mapping[str, str]) -> None:
    """What the demo starts, as a call: `entrypoints/sweep.py` or `-m analysis`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        if words[0] == "-m":
            assert __main__.main(words[2:]) == 0
        else:
            one_process.install(patch)
            execute.execute(names.SWEEP, flags.resolve(flags.parse(params.Sweep, words[1:])))


def test_the_figures_are_those_of_sqlite(swept: Path, tmp_path: Path) -> None:
    assert demo.differences(swept / "sqlite", swept / "server") == []
    table = (swept / "server" / "fig4.csv").read_text()
    assert table.count("\n") == 1 + 2 * 2 * 2
    (tmp_path / "fig4.csv").write_text(table.replace("3,", "4,", 1))
    assert "fig4.csv" in demo.differences(swept / "server", tmp_path)  # a difference would be seen


def test_a_member_s_page_links_to_the_server_and_a_packed_one_is_the_same_elsewhere(
    swept: Path, team_server, team_as: Callable[[str], None], tmp_path: Path, tmp_cache, monkeypatch
) -> None:
    team_as(accounts.MEMBER)
    with session.open_run(names.ANALYSE) as run:
        from sslseg.stages import analyse

        analyse.run(params.Analyse(only=PARTS), run)
    page = frames.artifact(run.id, "report.html", tmp_path).read_text()
    assert f"{team_server.uri}/#/experiments/0/runs/" in page

    asked = params.Analyse(only=PARTS, dataset="acdc")
    pages = [
        {p.name: p.read_bytes() for p in make.make(asked, tmp_path / "a", "Default", say=lambda _: None)}
    ]
    (sweep,) = session.search({names.TAG_STAGE: names.SWEEP}, status="FINISHED")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team_server.database)
    asked_for = Namespace(study=sweep.info.run_id, file=tmp_path / "sweep.tar.gz", public=False)
    pack.run(Namespace(**vars(asked_for), artifacts=team_server.artifacts))
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other/mlflow.db")
    unpack.run(Namespace(file=tmp_path / "sweep.tar.gz", artifacts=None))
    pages.append(
        {p.name: p.read_bytes() for p in make.make(asked, tmp_path / "b", "Default", say=lambda _: None)}
    )
    assert pages[0] == pages[1]
    for row in resolve.versions():
        assert resolve.resolve(f"models:/{row['name']}/{row['version']}").path.is_relative_to(
            tmp_path / "other"
        )
