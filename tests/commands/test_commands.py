"""`sslseg <subcommand>` on a folder without a tracking store: one line, and nothing is made."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from sslseg import __main__
from sslseg.config import plugins
from sslseg.config.names import EXIT_USAGE, SslsegError
from sslseg.tracking import store

READERS = {
    "doctor": [],
    "encoders": [],
    "lineage": ["0" * 32],
    "pack": ["0" * 32, "study.tar.gz"],
    "rerun": ["0" * 32],
    "reuse": ["0" * 32],
    "status": [],
}
OTHERS = {"completion", "splits", "unpack"}  # two read no store, one fills it


def test_every_subcommand_is_here() -> None:
    assert set(READERS) | OTHERS == set(plugins.names("commands"))


@pytest.mark.parametrize("name", READERS)
def test_reading_what_is_not_there_makes_nothing(name: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert __main__.main([name, *READERS[name]]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"sslseg {name}: there is no tracking store {tmp_path / 'mlflow.db'}")
    assert "-e prepare" in printed.err
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_cold_process_says_one_line(tmp_path: Path) -> None:
    """MLflow's own messages included."""
    given = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    given["PYTHONPATH"] = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-m", "sslseg", "encoders"], cwd=tmp_path, env=given, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store_and_a_server_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with pytest.raises(SslsegError, match="there is no tracking store"):
        store.existing(f"sqlite:///{tmp_path}/mlflow.db")
    assert store.existing("http://127.0.0.1:9") == "http://127.0.0.1:9"


def test_the_version_is_said(capsys) -> None:
    with pytest.raises(SystemExit) as end:
        __main__.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"sslseg {version('sslseg')}\n"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("pretrain_byo --dataset=images", "sslseg: no command 'pretrain_byo' (did you mean pretrain_byol?); `sslseg --help`"),
        ("xyzzy", "sslseg: no command 'xyzzy'; `sslseg --help`"),
        ("lineage", "sslseg lineage: the following arguments are required: encoder; `sslseg lineage --help`"),
        ("doctor --fixx", "sslseg doctor: unrecognized arguments: --fixx; `sslseg doctor --help`"),
        ("encoders --kind=unet", "sslseg encoders: argument --kind: invalid choice: 'unet' (choose from "),
    ],
)  # fmt: skip
def test_a_command_that_is_mistyped_is_told_in_one_line(typed: str, said: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        __main__.main(typed.split())
    printed = capsys.readouterr()
    assert (end.value.code, printed.out, printed.err.count("\n")) == (EXIT_USAGE, "", 1)
    assert printed.err.startswith(said)


@pytest.mark.parametrize("typed", ["lineage", "rerun", "reuse", "status"])
def test_a_run_that_the_store_does_not_know_is_told_in_one_line(typed: str, store: str, capsys) -> None:
    assert __main__.main([typed, "0" * 32]) == 1
    printed = capsys.readouterr()
    assert f"run {'0' * 32}: unknown, {store} has no such run" in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_ctrl_c_ends_a_lookup_without_a_word(monkeypatch, capsys) -> None:
    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plugins.load("commands", "status"), "run", stopped)
    assert __main__.main(["status", "--follow", "10"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(13, "Permission denied", "/x"),
            "PermissionError: [Errno 13] Permission denied: '/x'",
        ),
        (MlflowException("the server is away"), "MlflowException: the server is away"),
    ],
)
def test_whatever_a_look_up_meets_is_told_in_one_line(
    error: Exception, said: str, monkeypatch, capsys
) -> None:
    def meets(_: object) -> None:
        raise error

    monkeypatch.setattr(plugins.load("commands", "status"), "run", meets)
    assert __main__.main(["status"]) == 1
    assert capsys.readouterr() == ("", f"sslseg status: {said}\n")


def test_an_archive_that_is_not_there_is_told(tmp_path: Path, store: str, capsys) -> None:
    assert __main__.main(["unpack", f"{tmp_path}/study.tar.gz"]) == 1
    said = f"sslseg unpack: {tmp_path}/study.tar.gz: wanted an archive of `sslseg pack`, there is none\n"
    assert capsys.readouterr().err == said


def test_and_no_store_is_made_for_it(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert __main__.main(["unpack", f"{tmp_path}/study.tar.gz"]) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("docto", "doctor"), ("finetune --budget_", "--budget_unit"), ("finetune --budget_unit pa", "patient")],
)
def test_a_shell_completes_commands_knobs_and_choices(
    typed: str, completed: str, tmp_path: Path, capsys
) -> None:
    assert __main__.main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    words = ["sslseg", *typed.split()]
    at = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
    asked = f'source {tmp_path}/script; {at}; _shtab_sslseg; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [completed]
