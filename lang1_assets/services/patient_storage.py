"""Dagster's state in PostgreSQL, by processes that wait for a server that is being started again.

Dagster gives up after two seconds, and a step that wanted to write an event meanwhile fails: an update of PostgreSQL may end a
model in training. Here a connection to the databases of the services is tried for two minutes, by whatever in the process asks.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Self

from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import event
from sqlalchemy.engine import Engine

from lang1_assets.services.postgres import DATABASES

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5
OUTAGES = (
    "Connection refused",
    "the database system is",
    "server closed the connection",
    "Connection reset",
    "timeout expired",
)
"""How libpq says that a server is not there at the moment; a wrong password or name is said at once."""

logger = logging.getLogger(__name__)


class PatientPostgresStorage(DagsterPostgresStorage):
    """What `infra/dagster-server.yaml` names; to be imported is what matters, and every process of the services does."""

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
