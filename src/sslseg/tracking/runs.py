"""One run in the tracking store that this process owns; `session.py` opens and finds them.

Everything goes through MlflowClient with an explicit run ID, never through MLflow's global active
run, so that one warm process can hold several runs.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, SupportsFloat, TypeVar

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, RunTag

from sslseg.config import names
from sslseg.config.flags import to_text
from sslseg.config.names import ParamError
from sslseg.tracking import ownership, progress, store
from sslseg.tracking.client import metric_name
from sslseg.tracking.ownership import Heart, LostError

T = TypeVar("T")
Clock = Callable[[], float]
DIGEST = 32  # characters of a slice store's digest that its MLflow dataset has
ROWS = 1000  # MLflow's limit for one log_batch
PARAMS = 100  # likewise
MOST_LATE = 100 * ROWS  # numbers that are kept back
SECONDS = 10.0  # a buffered value waits this long at most for the next log call
CHECK_SECONDS = 1.0  # that long a run is taken for its own without looking; a flush always looks
PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"
NOTE = "mlflow.note.content"


class Run:
    """A RUNNING run that this process owns.

    Metrics are buffered and written by log_batch. Tags, parameters and artifacts are written at once.
    The same (key, step) may be logged twice after a resume: readers keep the later one.
    """

    def __init__(
        self, run_id: str, experiment_id: str, stage: str, uri: str, token: str = "", clock: Clock = time.time
    ):
        self.hold(run_id, token)
        self.experiment_id = experiment_id
        self.stage = stage
        self.uri = uri
        self.parent = ""  # run ID of the sweep or tuning that this one is a part of
        self.opened_as = ""  # the name that this program gave it
        self.client = store.client(uri)
        self._clock = clock
        self._rows: list[Metric] = []
        self._late: list[Metric] = []
        self._written = clock()
        self._checked = -math.inf
        self.heart: Heart | None = None

    @property
    def id(self) -> str:
        """The run ID; empty while no run is held."""
        return self._held[0]

    def hold(self, run_id: str, token: str) -> None:
        """Be that run from now on; '' = it is not claimed yet."""
        self._held = (run_id, token)

    def check(self) -> None:
        """Make sure that this process still holds the run.

        Raises:
            LostError: another one has taken it, or has closed it.
        """
        run_id, token = self._held
        self._checked = -math.inf
        found = self.client.get_run(run_id).data.tags if token else {}
        if (owner := found.get(names.TAG_OWNER)) != (token or None):
            taken = f"taken over by {ownership.named(found)}" if owner else "closed"
            raise LostError(
                f"run {run_id} was {taken}, because this process gave no sign of life for a while: it stops "
                "here and writes nothing more to it"
            )
        self._checked = self._clock()

    def heartbeat(self) -> None:
        """What the thread of a run does: a sign of life, while it is this process's."""
        self.check()
        self.tag(names.TAG_HEARTBEAT, f"{self._clock():.3f}")

    def log(self, metrics: Mapping[str, SupportsFloat], step: int = 0) -> None:
        """Buffer numbers (anything that float() takes), under their `names.stored`; NaN and inf are kept.

        Those of `names.DETAIL` are kept back until the end: a run's page, and what the UI compares runs by unasked, are
        in the order in which metrics came.
        """
        now = int(self._clock() * 1000)
        for key, value in metrics.items():
            row = Metric(names.stored(metric_name(key)), float(value), now, int(step))
            (self._late if row.key.startswith(names.DETAIL) else self._rows).append(row)
        if len(self._rows) >= ROWS:
            self.flush()
        else:
            self.beat()

    def beat(self) -> None:
        """Flush if the last one is old: keeps buffer and heartbeat fresh through long work."""
        if self._clock() - self._written >= SECONDS:
            self.flush()

    @property
    def kept_back(self) -> list[list[Any]]:
        """[key, value, timestamp, step] of what is not written before the end: for a checkpoint, as JSON."""
        return [[row.key, row.value, row.timestamp, row.step] for row in self._late]

    @kept_back.setter
    def kept_back(self, rows: Iterable[Iterable[Any]]) -> None:
        self._late = [*(Metric(*row) for row in rows), *self._late]

    def flush(self, *, last: bool = False) -> None:
        """Write the buffer, and the heartbeat with it. What cannot be written stays in the buffer.

        Args:
            last: also what is kept back.

        Raises:
            LostError: see `check`.
        """
        self.check()
        if last or len(self._late) > MOST_LATE:
            self._rows, self._late = self._rows + self._late, []
        beat = RunTag(names.TAG_HEARTBEAT, f"{self._clock():.3f}")
        while True:
            self._batch(metrics=self._rows[:ROWS], tags=[beat])
            del self._rows[:ROWS]
            if not self._rows:
                break
        self._written = self._clock()

    def _mine(self) -> None:
        """As `check`, unless that has just been done."""
        if not 0 <= self._clock() - self._checked < CHECK_SECONDS:
            self.check()

    def _batch(self, **entities: list[Any]) -> None:
        self._mine()
        self.client.log_batch(self.id, **entities)  # type: ignore[arg-type] # metrics, params or tags, by keyword

    def tag(self, key: str, value: object) -> None:
        """Write one tag now."""
        self.tags({key: value})

    def tags(self, values: Mapping[str, object]) -> None:
        """Write tags now, as canonical text."""
        self._batch(tags=[RunTag(key, to_text(value)) for key, value in values.items()])

    def params(
        self, values: Mapping[str, object], may_differ: Iterable[str] = (), prefix: str = names.CFG
    ) -> None:
        """Log resolved values as cfg.<name> (`mlflow run` itself logs the raw ones under <name>).

        Args:
            may_differ: names whose earlier value is kept without a word when a run is entered again.

        Raises:
            ParamError: the run already has another value for a name.
        """
        texts = {prefix + name: to_text(value) for name, value in values.items()}
        there = self.client.get_run(self.id).data.params
        fixed = (key for key in texts.keys() & there.keys() if key.removeprefix(prefix) not in may_differ)
        if changed := sorted(key for key in fixed if there[key] != texts[key]):
            spelled = "; ".join(f"{k} was {there[k]!r}, now {texts[k]!r}" for k in changed)
            raise ParamError(
                f"run {self.id} was made with other parameters: {spelled}. Start a new run instead"
            )
        new = [Param(key, value) for key, value in texts.items() if key not in there]
        for start in range(0, len(new), PARAMS):
            self._batch(params=new[start : start + PARAMS])

    def by(self, values: Mapping[str, object]) -> None:
        """Log what runs are compared by, `names.BY_…`; a run that is entered again keeps what it has."""
        self.params(values, may_differ=values, prefix="")

    def rename(self, name: str) -> None:
        """The run's name in the UI, in place of the one it was opened with; a name that a person gave stays."""
        if self.client.get_run(self.id).info.run_name == self.opened_as:
            self.tag(RUN_NAME, name)
            self.opened_as = name

    def note(self, markdown: str) -> None:
        """The run's description in the UI."""
        self.tag(NOTE, markdown)

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Copy a file, or the content of a folder, to the run's artifacts."""
        self._mine()
        log = self.client.log_artifacts if Path(path).is_dir() else self.client.log_artifact
        log(self.id, str(path), folder)

    def text(self, text: str, file: str) -> None:
        """Write `text` as the artifact `file`."""
        self._mine()
        self.client.log_text(self.id, text, file)

    def input_dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Link the data as an MLflow dataset; a digest is cut to the 36 characters that MLflow allows."""
        data = Dataset(name=name, digest=digest[:36], source_type="local", source=source)
        tags = [InputTag("mlflow.data.context", context)]
        self._mine()
        # MLflow looks for the dataset and then inserts it: two runs that log it at once would collide
        with store.lock(self.uri, "inputs"):
            self.client.log_inputs(self.id, datasets=[DatasetInput(data, tags)])

    def input_model(self, model_id: str) -> None:
        """Link the upstream model."""
        self._mine()
        self.client.log_inputs(self.id, models=[LoggedModelInput(model_id)])

    def progress(self, items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """`items`, with their progress shown, and a heartbeat on the way."""
        with progress.bar(total, description) as bar:
            for item in items:
                self.beat()
                yield item
                bar.update()

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """Flush and end the run: FINISHED, FAILED or KILLED, with the reason in a tag.

        A run whose last numbers cannot be written is FAILED, never FINISHED.

        Raises:
            LostError: see `check`; nothing is written.
        """
        if self.heart:
            self.heart.stop()
        self.check()
        try:
            self.flush(last=True)
        except Exception as error:
            lost = f"its last numbers could not be written: {error}"
            known = "FAILED" if status == "FINISHED" else status
            ownership.end(self.id, known, "; ".join(filter(None, [reason, lost])), self.uri)
            if status == "FINISHED":
                raise
            return  # the reason of the first failure stands
        ownership.end(self.id, status, reason, self.uri)
