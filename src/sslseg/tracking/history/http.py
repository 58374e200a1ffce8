"""The bulk read that MLflow's own UI uses, for stores behind `mlflow server`.

It is private, takes 100 runs and one metric a call, and cuts its answer at 25,000 rows without a word.
"""

from collections.abc import Sequence

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from sslseg.tracking.history.records import POINT_COLUMNS, as_logged
from sslseg.tracking.history.sql import UnreadableError

PATH = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
MOST_RUNS, MOST_ROWS = 100, 25_000


def points(uri: str, run_ids: Sequence[str], keys: Sequence[str]) -> pd.DataFrame:
    """Every logged value of `keys`, duplicates included: run_id, key, step, timestamp, value.

    Raises:
        UnreadableError: the server does not answer this call, or one run has more rows than one answer holds.
    """
    rows: list[tuple] = []
    for key in keys:
        for start in range(0, len(run_ids), MOST_RUNS):
            rows += _ask(uri, list(run_ids[start : start + MOST_RUNS]), key)
    return pd.DataFrame.from_records(rows, columns=POINT_COLUMNS)


def _ask(uri: str, run_ids: list[str], key: str) -> list[tuple]:
    """Rows of one metric; an answer that is full is asked for again in halves."""
    found = _get(uri, run_ids, key)
    if len(found) < MOST_ROWS:
        return [(m["run_id"], key, m["step"], m["timestamp"], as_logged(float(m["value"]))) for m in found]
    if len(run_ids) == 1:
        raise UnreadableError(f"run {run_ids[0]} has {MOST_ROWS} or more values of {key}")
    middle = len(run_ids) // 2
    return _ask(uri, run_ids[:middle], key) + _ask(uri, run_ids[middle:], key)


def _get(uri: str, run_ids: list[str], key: str) -> list[dict]:
    asked = {"run_id": run_ids, "metric_key": key, "max_results": MOST_ROWS}
    try:
        answer = http_request(get_default_host_creds(uri), PATH, "GET", params=asked)
        if answer.status_code != 200:
            raise UnreadableError(f"{PATH} answers {answer.status_code}")
        return answer.json()["metrics"]
    except (MlflowException, ValueError, KeyError) as error:
        raise UnreadableError(str(error)) from error
