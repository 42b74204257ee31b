"""A database that is being started again is waited for; everything else about connections is as it was."""

import time
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
import sqlalchemy

from lang1_assets.services import patient_storage
from lang1_assets.services.patient_storage import connect_patiently, is_outage
from lang1_assets.services.postgres import DAGSTER, MLFLOW
from tests.services.test_supervisor import free_port

REFUSED = 'connection to server at "127.0.0.1", port 1 failed: Connection refused'
AWAY = (
    'could not translate host name "postgres" to address: Temporary failure in name resolution',
    'connection to server at "10.0.0.2", port 5432 failed: No route to host',
    'connection to server at "10.0.0.2", port 5432 failed: Network is unreachable',
    'connection to server at "10.0.0.2", port 5432 failed: Connection timed out',
)
"""Of a container or pod that is stopped: its name and address go with it."""
STARTING = 'connection to server at "127.0.0.1", port 1 failed: FATAL:  the database system is starting up'


class Dialect:
    """PostgreSQL's, of a server that answers after some errors."""

    name = "postgresql"
    loaded_dbapi = psycopg2

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)

    def connect(self, **options: Any) -> SimpleNamespace:
        if self.errors:
            raise psycopg2.OperationalError(self.errors.pop(0))
        return SimpleNamespace(**options)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_storage, "POLL_SECONDS", 0.01)


@pytest.mark.parametrize("database", [DAGSTER, MLFLOW])
def test_a_server_that_starts_again_is_waited_for(database: str, caplog: pytest.LogCaptureFixture) -> None:
    connection = connect_patiently(Dialect(REFUSED, STARTING, REFUSED), None, (), {"dbname": database})
    assert connection.dbname == database
    assert [record.message for record in caplog.records] == [
        "PostgreSQL does not answer; waiting for up to 120 seconds"
    ]


@pytest.mark.parametrize("error", AWAY)
def test_a_container_that_is_stopped_is_waited_for(error: str) -> None:
    assert connect_patiently(Dialect(error), None, (), {"dbname": DAGSTER}).dbname == DAGSTER


def test_what_waiting_does_not_mend_is_said_at_once() -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        connect_patiently(Dialect("FATAL:  password authentication failed"), None, (), {"dbname": DAGSTER})


def test_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_storage, "PATIENCE_SECONDS", 0.05)
    began = time.monotonic()
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        connect_patiently(Dialect(*[REFUSED] * 1_000), None, (), {"dbname": DAGSTER})
    assert time.monotonic() - began < 5


def test_a_hospital_s_own_database_fails_as_fast_as_ever() -> None:
    engine = sqlalchemy.create_engine(f"postgresql+psycopg2://somebody@127.0.0.1:{free_port()}/hospital")
    with pytest.raises(sqlalchemy.exc.OperationalError) as raised, engine.connect():
        pass
    assert raised.value.orig is not None
    assert is_outage(raised.value.orig)
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        assert connection.execute(sqlalchemy.text("select 1")).scalar() == 1
