"""The SQLite file of a store: whether this MLflow works with it, and the making of it."""

import contextlib
import functools
import sqlite3
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from sslseg.config.files import aside
from sslseg.config.names import SslsegError
from sslseg.config.texts import some

# of a file that is there
REFUSED = sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR


def in_address(path: Path) -> str:
    """A path as a part of an address, where `%41` would be a letter, and `?` and `#` the end of it."""
    return str(path).translate({ord(mark): quote(mark) for mark in "%?#"})


def address(path: Path) -> str:
    """What SQLAlchemy, and so MLflow and Optuna, call a SQLite file."""
    return f"sqlite:///{in_address(path)}"


def connect(path: Path, mode: str = "ro") -> sqlite3.Connection:
    """A connection to a SQLite file, whatever marks its path holds; `mode` is of SQLite's own: ro, rw or rwc.

    Raises:
        sqlite3.OperationalError: it is not there.
    """
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", timeout=20, uri=True)


def check_schema(path: Path) -> None:
    """Refuse a database of another MLflow, a file that is none, and one that SQLite cannot open.

    Raises:
        SslsegError: it is one of these.
    """
    try:
        with closing(connect(path)) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.OperationalError as error:  # no such file or table: being made, or busy
        if error.sqlite_errorcode & 0xFF not in REFUSED or not path.exists():
            return
        raise SslsegError(
            f"{path}: cannot be opened ({error}). Even to read it, SQLite has to write beside it: this account needs the "
            "right to, or a copy of the file in a folder of its own"
        ) from None
    except sqlite3.DatabaseError as error:
        raise SslsegError(f"{path}: wanted a tracking store, this is none ({error})") from None
    if row and row[0] != _newest_schema():
        raise SslsegError(
            f"{path}: its tables are of schema {row[0]}, this MLflow ({version('mlflow')}) works with {_newest_schema()}. If the "
            f"store is older: copy it, then `mlflow db upgrade {address(path)}`; if it is newer: install the MLflow that made it"
        )


@functools.cache
def _newest_schema() -> str:
    from mlflow.store.db.utils import _get_latest_schema_revision

    return _get_latest_schema_revision()


def complete(path: Path) -> bool:
    """Whether there is an experiment: the default one is the last row that MLflow's own set-up writes."""
    with suppress(sqlite3.OperationalError), closing(connect(path)) as connection:
        return bool(connection.execute("select 1 from experiments").fetchone())
    return False  # no such file, or no such table


def create(path: Path) -> None:
    """Make the tables, all or none; in a file that has some of them, the rest.

    Raises:
        SslsegError: another program's tables are in the file.
    """
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with closing(connect(path, "rwc")) as connection:
        tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    if foreign := sorted({name for (name,) in tables} - {*Base.metadata.tables, "alembic_version"}):
        raise SslsegError(
            f"{path}: wanted a tracking store, this is another program's database, with tables {some(foreign)}"
        )
    # beside its place, since a set-up that is killed leaves a schema on the way, which nobody would open again
    with contextlib.nullcontext(path) if tables else aside(path, alone=True) as made:
        # the one place where MLflow takes the artifact root of the default experiment from
        SqlAlchemyStore(address(made), in_address(path.parent / "mlruns"))._dispose_engine()


def set_wal(path: Path) -> None:
    """Write-ahead log: a lasting property of the file. Where another process reads it, the store works without."""
    with suppress(sqlite3.OperationalError), closing(connect(path, "rw")) as connection:
        connection.execute("pragma journal_mode=wal")
