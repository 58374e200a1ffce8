"""Pipelines as sentences: what may be written, what is meant, and how it is recognised in a lineage."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslseg.config import flags, params, plugins
from sslseg.config.names import FINETUNE, IMPORT, PRETRAIN, ParamError
from sslseg.plans import pipelines
from sslseg.plans.pipelines import ALIASES, Hop, parse

DATA = {"photos": "natural", "imagenet": "natural"}  # the others are no natural images
SENTENCES = {  # sentence -> kind, stages
    "scratch": ("control", []),
    "supervised": ("generalist", [IMPORT]),
    "byol@natural": ("generalist", [PRETRAIN]),
    "byol@target": ("specialist", [PRETRAIN]),
    "supervised+byol@target": ("hierarchical", [IMPORT, PRETRAIN]),
    "byol@natural+byol@target": ("hierarchical", [PRETRAIN, PRETRAIN]),
    "phantom": ("own", [FINETUNE]),
    "simclr@target": ("specialist", [PRETRAIN]),
    "supervised+simclr@natural+byol@target": ("hierarchical", [IMPORT, PRETRAIN, PRETRAIN]),
    "byol@mnms": ("own", [PRETRAIN]),
    "supervised@mnms+byol@target": ("own", [FINETUNE, PRETRAIN]),
    "phantom+decoder": ("own", [FINETUNE]),
    "byol@target+byol@natural": ("own", [PRETRAIN, PRETRAIN]),
    "scratch+strong": ("control", []),
    "supervised+byol@target+strong+mean_teacher": ("hierarchical", [IMPORT, PRETRAIN]),
    "phantom+decoder+frozen": ("own", [FINETUNE]),
}


def in_words(sentence: str, target: str) -> str:
    """The sentence by names of data, run, and recognised again from what its hops were."""
    named = parse(sentence).named(target, "photos")
    hops = [(hop.how, hop.data, DATA.get(hop.data, "cardiac-mri"), hop.decoder) for hop in named.hops]
    return str(pipelines.of(hops, target, named.variants))


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_is_what_it_says_and_is_recognised_from_its_own_stages(sentence: str):
    kind, stages = SENTENCES[sentence]
    assert str(parse(sentence)) == in_words(sentence, "acdc") == in_words(sentence, "demo") == sentence
    assert parse(sentence).kind == kind
    assert [hop.stage for hop in parse(sentence).hops] == stages


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("byol-natural", "byol@natural"),
        ("byol-target", "byol@target"),
        ("supervised+byol-target", "supervised+byol@target"),
        ("byol-natural+byol-target", "byol@natural+byol@target"),
        ("phantom-supervised", "phantom"),
        ("byol", "byol@target"),
        (" supervised + byol@acdc ", "supervised+byol@acdc"),
        ("supervised@natural", "supervised"),
        ("supervised@imagenet", "supervised"),
        ("supervised@phantom", "phantom"),
    ],
)
def test_the_names_of_before_and_shorter_words_mean_the_same(written: str, meant: str):
    assert str(parse(written)) == meant
    assert set(ALIASES) == {"byol-natural", "byol-target", "phantom-supervised"}


def test_what_has_run_fits_the_sentences_that_say_it():
    """The data of the task are the target, also where they are natural images."""
    run = ("byol", "photos", pipelines.NATURAL, False)
    assert str(pipelines.of([run], "photos")) == "byol@target"
    assert str(pipelines.of([run], "acdc")) == "byol@natural"
    fitting = {"photos": ("byol@target", "byol@photos"), "acdc": ("byol@natural", "byol@photos")}
    for target, said in fitting.items():
        for text in (
            "byol@target",
            "byol@natural",
            "byol@photos",
            "simclr@photos",
            "byol@photos+byol@photos",
        ):
            assert pipelines.fits(pipelines.parse(text), [run], target) == (text in said)


def test_what_has_run_is_written_by_the_names_of_its_data():
    assert str(parse("byol@natural+byol@target").named("acdc", "photos")) == "byol@photos+byol@acdc"
    assert str(parse("byol@natural").named("acdc", "photos", imported=["byol"])) == "byol@imagenet"
    assert str(parse("supervised+byol").named("acdc", "photos")) == "supervised+byol@acdc"
    assert str(parse("byol@acdc")) == "byol@acdc"  # and can be written so
    of = pipelines.of([("byol", "acdc", "cardiac-mri", False)], "acdc")
    assert of == parse("byol@target")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("byol@traget", "'traget' is no data; the nearest is byol@target"),
        ("byol-traget", "'byol-traget' is no way to learn; the nearest is byol@target"),
        ("boyl", "'boyl' is no way to learn; the nearest is byol@target"),
        ("byol@", "data are missing behind the @; the nearest is byol@target"),
        ("supervised+", "a hop is missing; the nearest is supervised"),
        ("scratch+byol@target", "scratch stands alone; the nearest is byol@target"),
        ("scrach", "'scrach' is no way to learn; the nearest is scratch"),
        ("byol@target+supervised", "supervised brings weights from elsewhere, so it comes first"),
        ("supervised@target", "the masks of the target are what the fine-tuning learns from"),
        ("supervised@photos", "photos has no masks to learn from"),
        ("byol@target+decoder", "byol@target trains no decoder; the nearest is byol@target"),
        ("phantom+decoder+byol@target", "byol@target takes no decoder over"),
        ("imagenet", "'imagenet' is no way to learn; the nearest is supervised"),
        ("ImageNet+byol@target", "'ImageNet' is no way to learn; the nearest is supervised+byol@target"),
        ("random", "the nearest is scratch"),
        ("scratch;supervised", "(several are written with commas); the nearest is supervised"),
        ("byol-acdc", "the nearest is byol@acdc"),
        ("strong", "a hop is missing; the nearest is scratch+strong"),
        (
            "strong+byol@target",
            "strong is of the fine-tuning, so it stands once and after the hops; the nearest is byol@target+strong",
        ),
        ("scratch+strong+strong", "stands once"),
        ("scratch+mean-teacher", "the nearest is scratch+mean_teacher"),
    ],
)
def test_what_is_no_sentence_gets_one_with_the_nearest(written: str, said: str):
    with pytest.raises(ParamError) as caught:
        parse(written)
    assert str(caught.value).startswith(f"pipelines: {written!r}: ")
    assert said in str(caught.value)


@given(st.text("byolsupervitchm@+- acd", max_size=30) | st.text(max_size=300))
def test_the_nearest_is_always_a_sentence(text: str):
    try:
        found = str(parse(text))
    except ParamError as error:
        found = str(error).rpartition("the nearest is ")[2]
    assert str(parse(found)) == found


@given(st.lists(st.sampled_from(sorted(SENTENCES)), min_size=1, max_size=4))
def test_whatever_is_taken_is_written_as_it_is_read(parts: list[str]):
    try:
        found = parse("+".join(parts))
    except ParamError:
        return
    assert parse(str(found)) == found
    assert found.kind in pipelines.KINDS


@pytest.mark.parametrize("method", plugins.names("methods"))
@pytest.mark.parametrize("data", ["target", "natural", *plugins.names("datasets")])
def test_every_method_on_every_data_is_a_sentence(method: str, data: str):
    assert parse(f"{method}@{data}").hops == (Hop(method, data),)


@pytest.mark.parametrize(
    ("tag", "read"),
    [
        ("supervised > byol@acdc:25 > supervised@acdc",
         [("supervised", None), ("byol@acdc", 25), ("supervised@acdc", None)]),
        ("supervised-imagenet > byol-acdc@25 > supervised-acdc",  # as stores of before have it
         [("supervised", None), ("byol@acdc", 25), ("supervised@acdc", None)]),
        ("supervised-phantom > supervised-acdc", [("phantom", None), ("supervised@acdc", None)]),
        ("phantom+decoder > supervised@acdc", [("phantom+decoder", None), ("supervised@acdc", None)]),
        ("unknown@from a: colleague", [("unknown@from a: colleague", None)]),
        ("scratch", []),
        ("", []),
    ],
)  # fmt: skip
def test_lineage_tags_are_read_those_of_older_stores_too(tag: str, read: list):
    assert pipelines.read(tag) == read


@pytest.mark.parametrize(
    ("tag", "read"),
    [
        ("byol-natural+byol-target", "byol@natural+byol@target"),
        ("phantom-supervised", "phantom"),
        ("simclr-acdc", "simclr@target"),
        ("supervised-imagenet > simclr-acdc@3", "supervised+simclr@target"),
        ("newer@target", "newer@target"),  # a method that is not installed here
        ("scratch", "scratch"),
        ("scratch+mean_teacher", "scratch+mean_teacher"),
        ("supervised+byol@target+strong+frozen", "supervised+byol@target+strong+frozen"),
    ],
)
def test_pipeline_tags_of_older_stores(tag: str, read: str):
    assert pipelines.read_tag(tag, "acdc") == read


def test_the_variants_of_a_fine_tuning_are_read_from_its_knobs():
    for word, knobs in pipelines.VARIANTS.items():
        p = flags.resolve(flags.from_mapping(params.Finetune, {"encoder": "scratch"} | knobs))
        assert pipelines.variants_of(p) == (word,)
        assert parse(f"scratch+{word}").knobs == knobs
    assert pipelines.variants_of(flags.resolve(params.Finetune(rotation=30.0))) == ()


def test_sentences_need_neither_mlflow_nor_torch():
    code = "import sys, sslseg.plans.pipelines; print({'mlflow', 'torch', 'numpy'} & set(sys.modules))"
    env = {"PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "set()", done.stderr
