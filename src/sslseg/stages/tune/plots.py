"""What a search shows: its history, the knobs that matter, and every trial as a line."""

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from sslseg.tracking.runs import Run

FEWEST = 2  # completed trials, of different values, that a comparison of knobs needs
WIDTHS = {"parallel": 0.9}  # inches that a knob adds to a figure
SEED = 0  # of the forest that importances are read from


def _complete(search: optuna.Study) -> list:
    return search.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _comparable(search: optuna.Study) -> bool:
    return len({t.value for t in _complete(search)}) >= FEWEST


def progress(search: optuna.Study) -> dict[str, list[tuple[int, float]]]:
    """Curves "value" and "best" (so far) as (number of the trial, validation IoU)."""
    values = sorted((t.number, t.value) for t in _complete(search))
    best = [(number, max(v for n, v in values if n <= number)) for number, _ in values]
    return {"value": values, "best": best}


def importances(search: optuna.Study) -> dict[str, float]:
    """Share of the variance of the score that each knob explains (fANOVA); {} with too few trials."""
    if not _comparable(search):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return dict(optuna.importance.get_param_importances(search, evaluator=_forest()))


def _forest() -> optuna.importance.FanovaImportanceEvaluator:
    return optuna.importance.FanovaImportanceEvaluator(seed=SEED)


def log(run: Run, search: optuna.Study, label: str) -> None:
    """Table and plots as artifacts of the run, in a folder for the pipeline."""
    plain = all(c.isalnum() or c in "-_+." for c in label)
    folder = f"search/{label if plain else search.study_name}"
    shown = ("number", "state", "value", "params", "user_attrs")
    run.text(search.trials_dataframe(attrs=shown).to_csv(index=False), f"{folder}/trials.csv")
    with tempfile.TemporaryDirectory() as scratch:
        for name, figure in _figures(search):
            path = Path(scratch) / f"{name}.png"
            figure.savefig(path, dpi=100, bbox_inches="tight")
            run.artifact(path, folder)


def _figures(search: optuna.Study) -> Iterator[tuple[str, Any]]:
    """(name, figure) of each plot that there are enough trials for; each is closed after its use."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as ink

    if not _complete(search):
        return
    wanted: dict[str, Callable[[optuna.Study], Any]] = {"history": ink.plot_optimization_history}
    if _comparable(search):
        importances = functools.partial(ink.plot_param_importances, evaluator=_forest())
        wanted |= {"importance": importances, "parallel": ink.plot_parallel_coordinate}
    for name, plot in wanted.items():
        with warnings.catch_warnings(), plt.rc_context():  # optuna changes the style of all later figures
            warnings.simplefilter("ignore")  # experimental, and layouts that matplotlib finds too tight
            figure = plot(search).figure
        figure.set_size_inches(WIDTHS.get(name, 0.0) * len(search.best_params) + 6.4, 4.8)
        yield name, figure
        plt.close(figure)
