"""Names made to break a command line or an address. Cards: test_cards; the page: test_analysis_report."""

from __future__ import annotations

import shlex

import pytest
from hostile import HOSTILE

from analysis import make
from sslseg import names, params, registering


def test_the_line_that_makes_the_page_again_is_one_word_an_option() -> None:
    for word in HOSTILE:
        words = shlex.split(make.command(params.Analyse(experiment=word)))
        assert words == ["python", "-m", "analysis", "--experiment", word]


def test_a_registered_model_has_a_name_that_can_be_an_address() -> None:
    for name in ("encoder-resnet50.a1_in1k", "unet-tf_efficientnet_lite0", "Ada 2"):
        registering._check_name(name)
    for name in (*HOSTILE, "it's", "a/b", "a@b", "a:b", ""):
        with pytest.raises(names.EncoderError, match="for a registered model, got"):
            registering._check_name(name)
