"""Text to value and back, and every fault in one sentence."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import types
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslseg.config import flags, params
from sslseg.config.flags import knob
from sslseg.config.names import ParamError, SslsegError
from sslseg.config.texts import sentence, some


@dataclass(frozen=True, kw_only=True)
class Toy:
    """One knob of every type."""

    preset: str = knob("small", "settings", choices=("small", "large"))
    count: int = knob(3, "a count", low=1, high=10)
    share: float = knob(0.5, "a share", low=0.0, high=1.0)
    on: bool = knob(False, "a switch")
    word: str = knob("", "any words")
    epoch: int | None = knob(None, "maybe a number", low=0)
    minutes: float | None = knob(None, "maybe minutes")
    numbers: tuple[int, ...] = knob((), "numbers", low=0)
    shares: tuple[float, ...] = knob((0.08, 1.0), "shares")
    span: tuple[float, float] = knob((0.5, 1.0), "from, to")
    rows: tuple[str, ...] = knob((), "rows")
    steps: int = knob(help="steps", presets={"small": 10, "large": 1000}, low=1)
    title: str = knob(help="a word of the preset", presets={"small": "s", "large": "l"})
    widths: tuple[int, ...] = knob(help="widths of the preset", presets={"small": (1, 2), "large": (3,)})
    threads: int = knob(0, "threads", runtime=True)


@dataclass(frozen=True, kw_only=True)
class Needy:
    """One required knob."""

    model: str = knob(help="which model")


VALUES = [
    ("count", "7", 7), ("share", "5e-1", 0.5), ("share", "1", 1.0), ("share", ".25", 0.25),
    ("on", "true", True), ("on", "False", False), ("on", "1", True), ("on", "no", False),
    ("word", "two words, one comma", "two words, one comma"), ("word", "", ""), ("word", "--x", "--x"),
    ("epoch", "", None), ("epoch", "0", 0), ("minutes", "", None), ("minutes", "2", 2.0),
    ("span", "0.5,0.5", (0.5, 0.5)),
    ("numbers", "", ()), ("numbers", "1,2, 3", (1, 2, 3)), ("numbers", "4", (4,)), ("numbers", "1,", (1,)),
    ("shares", "0.1,1", (0.1, 1.0)), ("rows", "a,b+c", ("a", "b+c")),
    ("steps", "", None), ("steps", "12", 12), ("title", "", None), ("title", "x", "x"),
    ("widths", "", None), ("widths", "4,5", (4, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_text_becomes_a_value_and_the_same_value_again(name: str, text: str, value):
    parsed = flags.parse(Toy, [f"--{name}={text}"])
    assert getattr(parsed, name) == value
    assert type(getattr(parsed, name)) is type(value)
    assert parsed == flags.from_mapping(Toy, flags.texts(parsed))


def test_two_words_or_one_with_an_equals_sign():
    assert flags.parse(Toy, ["--count", "4", "--word", "a b"]) == flags.parse(
        Toy, ["--count=4", "--word=a b"]
    )
    assert flags.parse(Toy, []) == Toy()


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Toy,
        count=st.integers(1, 10),
        share=st.floats(0, 1),
        on=st.booleans(),
        epoch=st.none() | st.integers(0, 10**9),
        minutes=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        numbers=st.lists(st.integers(0, 99)).map(tuple),
        shares=st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple),
        steps=st.none() | st.integers(1, 10**6),
    )
)
def test_any_value_comes_back_from_its_text(toy: Toy):
    assert flags.from_mapping(Toy, flags.texts(toy)) == toy


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--cuont", "3"], "unknown parameter 'cuont'; did you mean 'count'? (known: preset, count,"),
        (["--zzz=3"], "unknown parameter 'zzz' (known:"),
        (["3"], "unknown parameter '3'"),
        (["-height=3"], "unknown parameter 'height'"),
        (["--count", "3.5"], "count: wanted a whole number, got '3.5'"),
        (["--share", "half"], "share: wanted a finite number, got 'half'"),
        (["--on", "maybe"], "on: wanted true or false, got 'maybe'"),
        (
            ["--numbers", "1,x"],
            "numbers: wanted a whole number, got 'x'; several are written with commas, as 0,1,2",
        ),
        (["--share", "nan"], "share: wanted a finite number, got 'nan'"),
        (["--share", "inf"], "share: wanted a finite number, got 'inf'"),
        (["--share", "1.5"], "share: must be at most 1; not 1.5"),
        (["--count", "0"], "count: must be at least 1; not 0"),
        (["--count", "11"], "count: must be at most 10; not 11"),
        (["--numbers", "3,-1"], "numbers: must be at least 0; not -1"),
        (["--preset", "huge"], "preset: must be one of small, large; not 'huge'"),
        (["--steps", "0"], "steps: must be at least 1; not 0"),
        (["--span", "0.3"], "span: must be two numbers, the smaller first; not '0.3'"),
        (["--span", ","], "span: must be two numbers, the smaller first; not ''"),
        (["--span", "1,0.3"], "span: must be two numbers, the smaller first; not '1.0,0.3'"),
        (["--count"], "argument --count: expected one argument"),
    ],
)
def test_a_wrong_value_is_one_sentence(argv: list[str], sentence: str):
    with pytest.raises(ParamError) as error:
        flags.resolve(flags.parse(Toy, argv))
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_all_faults_at_once():
    with pytest.raises(ParamError) as error:
        flags.from_mapping(Toy, {"count": "x", "share": "y", "wrod": "z"})
    assert str(error.value).split("; ") == [
        "count: wanted a whole number, got 'x'", "share: wanted a finite number, got 'y'",
        "unknown parameter 'wrod'", "did you mean 'word'?",
    ]  # fmt: skip
    with pytest.raises(ParamError) as error:
        flags.parse(Toy, ["--count=0", "--share=2", "--preset=x"])
    assert str(error.value).count("must be") == 3


def test_what_is_required_must_be_given():
    with pytest.raises(ParamError, match=r"^model: a value is required \(which model\)$"):
        flags.parse(Needy, [])
    assert flags.parse(Needy, ["--model=m"]).model == "m"


def test_an_explicit_value_beats_the_preset():
    assert flags.resolve(Toy()).steps == 10
    assert flags.resolve(flags.parse(Toy, ["--widths="])).widths == (1, 2)
    large = flags.resolve(flags.parse(Toy, ["--preset=large", "--title=mine"]))
    assert (large.steps, large.title) == (1000, "mine")
    assert flags.resolve(large) == large


def test_readings_of_one_line():
    assert "threads" not in flags.texts(Toy(), identity_only=True)
    assert flags.presets_of(Toy) == ("small", "large")
    defaults = {n: flags.mlproject_default(f) for n, (f, m, _) in flags.knobs(Toy).items()}
    assert defaults == {f.name: "" for f in dataclasses.fields(Toy)} | {
        "preset": "small", "count": "3", "share": "0.5", "on": "false", "shares": "0.08,1.0",
        "span": "0.5,1.0", "threads": "0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("items", "most", "joint", "sentence"),
    [
        ([], 2, ", ", ""),
        ("ab", 2, ", ", "a, b"),
        ("abcd", 2, ", ", "a, b and 2 more"),
        (range(4), 3, "; ", "0; 1; 2; and 1 more"),
        (iter("abc"), 1, "\n  ", "a\n  and 2 more"),
    ],
)  # fmt: skip
def test_a_long_list_says_how_many_it_leaves_out(items, most, joint, sentence):
    assert some(items, most, joint) == sentence


def test_a_default_is_told_once_for_all_presets_that_share_it():
    table = flags.knobs(params.Finetune)
    told = {name: flags.default(f, meta) for name, (f, meta, _) in table.items()}
    assert told["steps"] == "by preset, 1050 (paper-text, paper-code), 200 (cpu), 70 (demo)"
    assert (told["budget"], told["encoder"], told["seed"]) == ("none", "''", "0")
    f, meta, _ = flags.knobs(params.AnyMethod)["steps"]
    assert flags.default(f, meta) == "the method's"


def test_what_python_cannot_read_of_a_command_line_is_refused():
    """As `LC_ALL=C` with `PYTHONUTF8=0` leaves an umlaut."""
    word = "/data/M\udcc3\udca4use"
    with pytest.raises(ParamError, match=r"word: '/data/M\\udcc3\\udca4use' has letters .* PYTHONUTF8=1"):
        flags.from_mapping(Toy, {"word": word})
    assert flags.from_mapping(Toy, {"word": "/data/M\xe4use"}).word == "/data/M\xe4use"
    with pytest.raises(UnicodeEncodeError) as inside:  # of a file in the folder, or of the working folder
        word.encode()
    assert sentence(inside.value).endswith("PYTHONUTF8=1 lets it read UTF-8")


@pytest.mark.parametrize(
    "said", ["No space left on device", "(os error 28) no space left", "Disk quota exceeded"]
)
def test_an_error_of_a_full_disk_says_which_folders_may_be_meant(said: str, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    monkeypatch.chdir(tmp_path)
    free = shutil.disk_usage(tmp_path).free
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=free))
    here = f"{free:,} bytes free in {tmp_path}"
    where = f"temporary files (TMPDIR): {here}/t; the working folder: {here}"
    assert sentence(RuntimeError(said)) == f"RuntimeError: {said}; {where}"
    assert sentence(OSError(28, said, "/full/file")) == f"OSError: [Errno 28] {said}: '/full/file'"


def test_an_error_of_ours_is_a_sentence_and_another_one_has_its_kind():
    assert [sentence(e) for e in (SslsegError("a b"), KeyError("c"), ValueError())] == [
        "a b",
        "KeyError: 'c'",
        "ValueError",
    ]


@pytest.mark.parametrize("asked", ["-h", "--help"])
def test_help_shows_what_a_value_looks_like_and_whose_knobs_they_are(asked: str, capsys):
    with pytest.raises(SystemExit):
        flags.parse(Toy, [asked])
    shown = " ".join(capsys.readouterr().out.split())
    assert "usage: " in shown
    assert " One knob of every type " in f" {shown.replace(chr(10), ' ')} "
    for word in (
        "--count N",
        "--share X",
        "--on true|false",
        "--word TEXT",
        "--numbers N,…",
        "--span X,X",
        "--epoch N",
    ):
        assert word in shown
    with pytest.raises(ParamError, match="unknown parameter 'hlep'"):
        flags.parse(Toy, ["--hlep"])
    with pytest.raises(ParamError, match="unknown parameter 'height'"):
        flags.parse(Toy, ["-height=3"])
