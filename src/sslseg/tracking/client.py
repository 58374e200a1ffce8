"""MLflow's client, which waits for a busy store and reads every page of a search; and MLflow's rules for names."""

import functools
import operator
import random
import re
import socket
import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlparse

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils import name_utils

from sslseg.config.names import SslsegError

T = TypeVar("T")
ANSWER = 5.0  # seconds that a server may take to accept a connection
RETRY_SECONDS = 120.0  # beyond SQLite's own busy timeout of 20 s, which MLflow sets
_TRANSIENT = re.compile(
    r"database (table )?is locked|deadlock|could not serialize|connection (refused|reset|aborted)|"
    r"too many connections",
    re.IGNORECASE,
)

_DRAWN = [{w.lower() for w in words} for words in (
    name_utils._GENERATOR_PREDICATES, name_utils._GENERATOR_NOUNS)]  # fmt: skip


class Client:
    """Every method of an MlflowClient: tried again by `retry`; a `search_…` gives the list of all pages."""

    def __init__(self, api: MlflowClient):
        self._api = api

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = partial(retry, getattr(self._api, name))
        return partial(_every_page, call) if name.startswith("search_") else call


def _every_page(search: Callable[..., Any], *given: Any, **named: Any) -> list[Any]:
    found, token = [], None
    while given[:1] != ([],):  # no experiments: a server's account may see none
        page = search(*given, page_token=token, **named)
        found += page
        token = page.token
        if not token:
            break
    return found


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: a database that is locked, busy or away.

    A tracking server is left out: MLflow's client has tried again for minutes by itself.
    """
    text = str(error)
    return bool(_TRANSIENT.search(text)) and "max retries exceeded" not in text.lower()


def retry(
    action: Callable[..., T], *given: Any, sleep: Callable[[float], None] = time.sleep, **named: Any
) -> T:
    """Call `action`; on a locked or absent store again, after 0.1, 0.2, 0.4 … s (at most 10 s, jittered)."""
    waited, pause = 0.0, 0.1
    while True:
        try:
            return action(*given, **named)
        except Exception as error:
            if waited >= RETRY_SECONDS or not is_transient(error):
                raise
        delay = pause * (0.5 + random.random())  # spreads workers; touches no result
        sleep(delay)
        waited, pause = waited + delay, min(2 * pause, 10.0)


@functools.cache
def check_answers(uri: str, shown: str) -> None:
    """MLflow's client would ask a dead server for minutes, in silence, and end in a traceback without the right password.

    Args:
        shown: the URI for a message.

    Raises:
        SslsegError: a server that takes no connection, or does not know the account.
    """
    address = urlparse(uri)
    if address.scheme not in ("http", "https") or not address.hostname:
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname, port), ANSWER).close()
    except OSError as error:
        raise SslsegError(f"{shown}: the tracking server does not answer ({error})") from None
    try:
        MlflowClient(uri).search_experiments(max_results=1)
    except MlflowException as error:
        if error.get_http_status_code() != HTTPStatus.UNAUTHORIZED:
            raise
        raise SslsegError(
            f"{shown}: the tracking server wants an account; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
            "to one that it knows"
        ) from None


def check_driver(uri: str, shown: str) -> None:
    """SQLAlchemy speaks to a database through a package of its own, which may not be installed.

    Raises:
        SslsegError: it is not, or SQLAlchemy knows none for such a URI.
    """
    import sqlalchemy  # here: who works with a server does without it

    try:
        sqlalchemy.make_url(uri).get_dialect().import_dbapi()
    except (ImportError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise SslsegError(
            f"{shown}: there is no driver for this database ({error}); install it with pip"
        ) from None


def metric_name(name: str) -> str:
    """`name` with what MLflow refuses replaced by '_'; it allows letters, digits, _ - . : / and space."""
    parts = [re.sub(r"[^\w\-. :]", "_", part) for part in name.split("/")]
    kept = [part for part in parts if part.strip(". ")]
    return "/".join(kept) or "_"


def is_drawn(name: str) -> bool:
    """Whether MLflow has drawn a run's name, as `upbeat-hare-342`; also where there is none."""
    words = name.split("-")
    return not name or (len(words) == 3 and words[2].isdigit() and all(map(operator.contains, _DRAWN, words)))
