"""What stages say at their end."""

from __future__ import annotations

import pandas as pd
import pytest

from sslseg.config import names
from sslseg.stages.outcome import endings


def test_a_fine_tuning_ends_with_its_score_its_names_and_the_next_command(capsys: pytest.CaptureFixture):
    endings.finetuned("abc", "unet-x", "acdc", {"iou": 0.5, "iou/RV": 0.25, "iou/LV": 0.75, "dice": 0.6})
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "test IoU 0.500 on acdc (RV 0.250, LV 0.750)"
    assert second == "registered as unet-x, run abc"
    assert third.startswith("next: mlflow run . --env-manager local -e predict -P model=abc ")


def test_a_sweep_ends_with_a_line_per_pipeline(capsys: pytest.CaptureFixture):
    rows = [("scratch", 3, 0.1), ("scratch", 3, 0.3), ("scratch", 30, 0.5), ("supervised", 3, 0.7)]
    runs = pd.DataFrame(
        [{"stage": "finetune", "dataset": "demo", "pipeline": p, "budget": n, "unit": "slices", names.TEST_IOU: v}
         for p, n, v in rows]
    )  # fmt: skip
    endings.swept("s", runs, "demo")
    title, scratch, supervised, following = capsys.readouterr().out.splitlines()
    assert title == "mean test IoU on demo (seeds), by annotated slices:"
    assert scratch.split() == ["scratch", "3:", "0.200", "(2)", "30:", "0.500", "(1)"]
    assert supervised.split() == ["supervised", "3:", "0.700", "(1)"]
    assert "-e analyse" in following
    endings.swept("s", runs[:0], "demo")
    assert capsys.readouterr().out == ""
