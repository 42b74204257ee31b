"""Dagster's state in PostgreSQL, by processes that wait for a server that is being started again.

Dagster gives up after two seconds, and a step that wanted to write an event meanwhile fails: an update of PostgreSQL may end a
model in training. Here a connection to the databases of the services is tried for two minutes, by whatever in the process asks.
What was being asked or written when the server went away is asked or written once more, and nothing stands there twice.
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

from dagster import EventLogEntry
from dagster._core.storage.config import PostgresStorageConfig
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._serdes import ConfigurableClassData, serialize_value
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
)
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import event, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from lang1_assets.services.postgres import DATABASES

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5
OUTAGES = (
    "Connection refused",
    "the database system is",
    "server closed the connection",
    "Connection reset",
    "timeout expired",
    "Connection timed out",
    # Name and address of a container go when it is stopped.
    "could not translate host name",
    "No route to host",
    "Network is unreachable",
)
"""How libpq says that a server is not there at the moment. A wrong password or database is said at once; a wrong host looks like
one that is away."""

TRIES = 5
ASKED_AGAIN = ("get_", "has_", "fetch_", "check_", "can_", "claim_", "free_", "handle_run_event", "add_run_tags")
"""How the methods' names begin that may be called twice: they read, or say what is to be true afterwards."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


def until_answered(ask: Callable[[], T], before_again: Callable[[], object] = lambda: None) -> T:
    """Its answer, though the server may go away while it is asked.

    Args:
        before_again: called before it is asked once more.
    """
    for _ in range(TRIES - 1):
        try:
            return ask()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        logger.warning("PostgreSQL went away while it was asked something; asking again")
        before_again()
    return ask()


def asked_again(storage: type[T]) -> type[T]:
    """A storage of Dagster whose questions are asked again when the server goes away meanwhile."""

    def patient(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def ask(*arguments: Any, **options: Any) -> Any:
            return until_answered(lambda: method(*arguments, **options))

        return ask

    for name in dir(storage):
        method = inspect.getattr_static(storage, name)
        if name.startswith(ASKED_AGAIN) and inspect.isfunction(method):
            setattr(storage, name, patient(method))
    return storage


@asked_again
class PatientRunStorage(PostgresRunStorage):
    """Runs, their states and tags."""


@asked_again
class PatientEventLog(PostgresEventLogStorage):
    """Events of runs: each is there once, whenever the server went away."""

    def store_event(self, event: EventLogEntry) -> None:
        store = super().store_event
        until_answered(lambda: store(event), lambda: until_answered(lambda: self.take_back(event)))

    def take_back(self, event: EventLogEntry) -> None:
        """Whatever the first attempt wrote, the event last: each statement is a transaction of its own."""
        events, tags, checks = SqlEventLogStorageTable, AssetEventTagsTable, AssetCheckExecutionsTable
        text = serialize_value(event)
        same = (events.c.run_id == event.run_id) & (events.c.event == text)
        same_check = (checks.c.run_id == event.run_id) & (checks.c.evaluation_event == text)
        with self._connect() as connection:
            connection.execute(tags.delete().where(tags.c.event_id.in_(select(events.c.id).where(same))))
            connection.execute(checks.delete().where(same_check))
            connection.execute(events.delete().where(same))


class PatientPostgresStorage(DagsterPostgresStorage):
    """What `infra/dagster-server.yaml` names, so that every process of the services imports this module."""

    def __init__(self, postgres_url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(postgres_url, inst_data=inst_data)
        self._run_storage = PatientRunStorage(postgres_url)
        self._event_log_storage = PatientEventLog(postgres_url)

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> Self:
        return cls(postgres_url=pg_url_from_config(config_value), inst_data=inst_data)


@event.listens_for(Engine, "do_connect")
def connect_patiently(dialect: Any, record: Any, words: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A connection to a database of the services, as soon as there is one; None, SQLAlchemy's usual way, for every other."""
    if dialect.name != "postgresql" or options.get("dbname") not in DATABASES:
        return None
    deadline, said = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            return dialect.connect(*words, **options)
        except dialect.loaded_dbapi.OperationalError as error:
            if not is_outage(error) or time.monotonic() > deadline:
                raise
        if not said:
            logger.warning(f"PostgreSQL does not answer; waiting for up to {PATIENCE_SECONDS:.0f} seconds")
            said = True
        time.sleep(POLL_SECONDS)


def is_outage(error: Exception) -> bool:
    return any(words in str(error) for words in OUTAGES)
