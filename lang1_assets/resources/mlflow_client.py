"""A client of MLflow that processes may open at once, also where there is no database yet."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"


def open_client(tracking_uri: str) -> MlflowClient:
    """The first client of a SQLite file creates its tables, which takes seconds; the others wait for it."""
    from mlflow import MlflowClient

    # It reports each table that it creates.
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with creating(tracking_uri):
        return MlflowClient(tracking_uri)


@contextmanager
def creating(tracking_uri: str) -> Iterator[None]:
    """Alone with a SQLite file until the block ends: MLflow creates its tables one by one and locks nothing, so that of two
    that begin together one fails at a table that is already there. A server has created its own before it answers.
    """
    if not tracking_uri.startswith(SQLITE):
        yield
        return
    database = Path(tracking_uri.removeprefix(SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with open(database.with_name(f"{database.name}.lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
