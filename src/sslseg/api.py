"""The functions of `import sslseg`, for notebooks. Each loads what it needs when it is called.

`sslseg.runs` and `sslseg.lineage` are modules of the package, hence `read_runs` and `lineage_of`.
Every function takes the store from MLFLOW_TRACKING_URI, or from `uri`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from sslseg.tracking.lineage import Hop


def encoders(uri: str | None = None, *, kind: str = "encoder") -> pd.DataFrame:
    """Registered encoders, newest version first.

    Args:
        kind: "encoder", or "segmenter" for fine-tuned U-Nets.

    Returns:
        One row per version: reference (for `load_encoder`), name, version, aliases, run_id, model_id, role,
        method, dataset, epoch, step, architecture, lineage, sha256; '' where a model does not say. And budget, seed,
        test_iou: of its own test, else of the fine-tunings that started from it, those on the most slices, and `of` how
        many of them, which differ by seed alone, the IoU is the mean, on the data `tested_on`; NaN where unknown.
        `sslseg encoders` prints them.
    """
    from sslseg.commands.encoders import table

    return table(kind, uri)


def load_encoder(
    reference: str, *, role: str = "target", epoch: int | None = None, uri: str | None = None
) -> nn.Module:
    """The network behind a reference, with its weights, in evaluation mode.

    Args:
        reference: run ID, runs:/<run ID>[/name], models:/<name>@<alias>, models:/<name>/<version>, models:/<name>/latest or
            models:/m-<ID>.
        epoch: which of a run's kept epochs; None = the last.

    Returns:
        A timm model without classifier: images [B, C, H, W] -> features [B, F].

    Raises:
        EncoderError: unknown, ambiguous, damaged, or changed since it was logged.
    """
    from sslseg.models import encoder
    from sslseg.tracking import store
    from sslseg.tracking.registry import resolve

    found = resolve.resolve(reference, role=role, epoch=epoch, uri=store.existing(uri))
    return encoder.load(found.path).eval()


def read_runs(
    experiment: str | None = None, *, sweep: str | None = None, uri: str | None = None
) -> pd.DataFrame:
    """FINISHED runs, oldest first: one row each, with typed `cfg.*` and the latest metrics.

    Args:
        experiment: name or ID; None = every experiment.
        sweep: only the cells of this sweep run.

    Raises:
        SslsegError: no such store, experiment or sweep.
    """
    from sslseg.tracking.history import frames

    return frames.runs(experiment, sweep, uri)


def read_curves(run_ids: Iterable[str], keys: Iterable[str], *, uri: str | None = None) -> pd.DataFrame:
    """Metrics step by step: columns run_id, key, step, value; one value a step, NaN and ±inf as logged."""
    from sslseg.tracking.history import frames

    return frames.curves(run_ids, keys, uri)


def lineage_of(
    reference: str, *, role: str = "target", epoch: int | None = None, uri: str | None = None
) -> list[Hop]:
    """The stages that an encoder went through, root first; see `lineage.Hop`.

    Raises:
        EncoderError: see `load_encoder`.
    """
    from sslseg.tracking import lineage

    return lineage.of_model(reference, uri, role=role, epoch=epoch)
