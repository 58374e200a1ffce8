"""One run in the tracking store that this process owns; `tracking.py` opens and finds them.

Everything goes through MlflowClient with an explicit run ID, never through MLflow's global active
run, so that one warm process can hold several runs.
"""

from __future__ import annotations

import operator
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, RunTag
from mlflow.utils import name_utils

from sslseg.config import names
from sslseg.config.flags import to_text
from sslseg.config.names import ParamError
from sslseg.tracking import processes, progress, store

T = TypeVar("T")
ROWS = 1000  # MLflow's limit for one log_batch
PARAMS = 100  # likewise
SECONDS = 10.0  # a buffered value waits this long at most for the next log call
PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"
NOTE = "mlflow.note.content"
_DRAWN = [{w.lower() for w in words} for words in (
    name_utils._GENERATOR_PREDICATES, name_utils._GENERATOR_NOUNS)]  # fmt: skip


def metric_name(name: str) -> str:
    """`name` with what MLflow refuses replaced by '_'; it allows letters, digits, _ - . : / and space."""
    parts = [re.sub(r"[^\w\-. :]", "_", part) for part in name.split("/")]
    kept = [part for part in parts if part.strip(". ")]
    return "/".join(kept) or "_"


def is_drawn(name: str) -> bool:
    """Whether MLflow has drawn a run's name, as `upbeat-hare-342`; also where there is none."""
    words = name.split("-")
    return not name or (len(words) == 3 and words[2].isdigit() and all(map(operator.contains, _DRAWN, words)))


class Run:
    """A RUNNING run that this process owns.

    Metrics are buffered and written by log_batch. Tags, parameters and artifacts are written at once.
    The same (key, step) may be logged twice after a resume: readers keep the later one.
    """

    def __init__(
        self, run_id: str, experiment_id: str, stage: str, uri: str, clock: Callable[[], float] = time.time
    ):
        self.id = run_id
        self.experiment_id = experiment_id
        self.stage = stage
        self.uri = uri
        self.parent = ""  # run ID of the sweep or tuning that this one is a part of
        self.client = store.client(uri)
        self._clock = clock
        self._rows: list[Metric] = []
        self._written = clock()

    def log(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Buffer numbers (anything that float() takes); NaN and inf are kept."""
        now = int(self._clock() * 1000)
        self._rows += [
            Metric(metric_name(key), float(value), now, int(step)) for key, value in metrics.items()
        ]
        if len(self._rows) >= ROWS:
            self.flush()
        else:
            self.beat()

    def beat(self) -> None:
        """Flush if the last one is old: keeps buffer and heartbeat fresh through long work."""
        if self._clock() - self._written >= SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the buffer, and the heartbeat with it. What cannot be written stays in the buffer."""
        beat = RunTag(names.TAG_HEARTBEAT, f"{self._clock():.3f}")
        while True:
            self._batch(metrics=self._rows[:ROWS], tags=[beat])
            del self._rows[:ROWS]
            if not self._rows:
                break
        self._written = self._clock()

    def _batch(self, **entities: list) -> None:
        self.client.log_batch(self.id, **entities)

    def tag(self, key: str, value: Any) -> None:
        """Write one tag now."""
        self.tags({key: value})

    def tags(self, values: Mapping[str, Any]) -> None:
        """Write tags now, as canonical text."""
        self._batch(tags=[RunTag(key, to_text(value)) for key, value in values.items()])

    def params(self, values: Mapping[str, Any], may_differ: Iterable[str] = ()) -> None:
        """Log resolved values as cfg.<name> (`mlflow run` itself logs the raw ones under <name>).

        Args:
            may_differ: names whose earlier value is kept without a word when a run is entered again.

        Raises:
            ParamError: the run already has another value for a name.
        """
        texts = {names.CFG + name: to_text(value) for name, value in values.items()}
        there = self.client.get_run(self.id).data.params
        changed = [
            k
            for k, v in texts.items()
            if there.get(k, v) != v and k.removeprefix(names.CFG) not in may_differ
        ]
        if changed:
            spelled = "; ".join(f"{k} was {there[k]!r}, now {texts[k]!r}" for k in changed)
            raise ParamError(
                f"run {self.id} was made with other parameters: {spelled}. Start a new run instead"
            )
        new = [Param(key, value) for key, value in texts.items() if key not in there]
        for start in range(0, len(new), PARAMS):
            self._batch(params=new[start : start + PARAMS])

    def rename(self, name: str) -> None:
        """The run's name in the UI."""
        self.tag(RUN_NAME, name)

    def note(self, markdown: str) -> None:
        """The run's description in the UI."""
        self.tag(NOTE, markdown)

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a folder, to the run's artifacts."""
        log = self.client.log_artifacts if Path(path).is_dir() else self.client.log_artifact
        log(self.id, str(path), folder)

    def text(self, text: str, file: str) -> None:
        """Write `text` as the artifact `file`."""
        self.client.log_text(self.id, text, file)

    def input_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Link the data as an MLflow dataset; a digest is cut to the 36 characters that MLflow allows."""
        data = Dataset(name=name, digest=digest[:36], source_type="local", source=source)
        tags = [InputTag("mlflow.data.context", context)]
        # MLflow looks for the dataset and then inserts it: two runs that log it at once would collide
        with store.lock(self.uri, "inputs"):
            self.client.log_inputs(self.id, datasets=[DatasetInput(data, tags)])

    def input_model(self, model_id: str) -> None:
        """Link the upstream model."""
        self.client.log_inputs(self.id, models=[LoggedModelInput(model_id)])

    def progress(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """`items`, with their progress shown, and a heartbeat on the way."""
        with progress.bar(total, description) as bar:
            for item in items:
                self.beat()
                yield item
                bar.update()

    def bar(self, total: int, description: str) -> Any:
        """Progress to update by hand."""
        return progress.bar(total, description)

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """Flush and end the run: FINISHED, FAILED or KILLED, with the reason in a tag.

        A run whose last numbers cannot be written is FAILED, never FINISHED.
        """
        try:
            self.flush()
        except Exception as error:
            lost = f"its last numbers could not be written: {error}"
            known = "FAILED" if status == "FINISHED" else status
            close(self.id, known, "; ".join(filter(None, [reason, lost])), self.uri)
            if status == "FINISHED":
                raise
            return  # the reason of the first failure stands
        close(self.id, status, reason, self.uri)


def close(run_id: str, status: str, reason: str = "", uri: str | None = None) -> None:
    """End a run that nobody holds (any more)."""
    api = store.client(uri)
    if reason:
        api.set_tag(run_id, names.TAG_REASON, reason[:5000])
    api.set_terminated(run_id, status)


def owned() -> dict[str, str]:
    """Tags of a run that this process holds: who it is, and a fresh heartbeat."""
    return {names.TAG_PROCESS: processes.owner(), names.TAG_HEARTBEAT: f"{time.time():.3f}"}


def claim(run_id: str, uri: str | None = None) -> None:
    """Make this process the owner of `run_id`: RUNNING, a fresh heartbeat, no reason of an earlier end."""
    api = store.client(uri)
    tags = [RunTag(key, value) for key, value in owned().items()]
    api.log_batch(run_id, tags=tags)
    api.update_run(run_id, status="RUNNING")
    if names.TAG_REASON in api.get_run(run_id).data.tags:
        api.delete_tag(run_id, names.TAG_REASON)
