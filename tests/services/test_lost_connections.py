"""The server's process ends, for real, before or just after each statement of a question: as if nothing had been."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import sqlalchemy
from dagster import AssetCheckEvaluation, AssetKey, AssetMaterialization, DagsterEvent, DagsterEventType, EventLogEntry
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import StepMaterializationData
from dagster._core.storage.dagster_run import DagsterRun, DagsterRunStatus
from dagster_postgres import PostgresEventLogStorage
from sqlalchemy.exc import OperationalError

from lang1_assets.services.patient_storage import PatientEventLog, PatientRunStorage
from tests.postgres_server import running_server, server_programs

RUN = "0000-run"
KEY = AssetKey("cohorts")
TABLES = ("event_logs", "asset_event_tags", "asset_keys", "asset_check_executions")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if server_programs() is None:
        pytest.skip("no PostgreSQL server here; CI installs one")
    with running_server(tmp_path_factory.mktemp("postgres")) as given:
        user, password = given["LANG1_POSTGRES_USER"], given["LANG1_POSTGRES_PASSWORD"]
        host = f"{given['LANG1_POSTGRES_HOST']}:{given['LANG1_POSTGRES_PORT']}"
        yield f"postgresql+psycopg2://{user}:{password}@{host}/{given['LANG1_POSTGRES_DATABASE']}"


class Ending:
    """Ends the server's process of the engine's connection at its n-th statement, once."""

    def __init__(self, url: str, engine: sqlalchemy.Engine, at: int, when: str) -> None:
        self.url, self.at, self.seen = url, at, 0
        sqlalchemy.event.listen(engine, f"{when}_cursor_execute", self)

    @property
    def has_ended(self) -> bool:
        return self.seen >= self.at

    def __call__(self, connection: Any, cursor: Any, *rest: Any) -> None:
        self.seen += 1
        if self.seen != self.at:
            return
        with psycopg2.connect(self.url.replace("+psycopg2", "")) as other, other.cursor() as asked:
            asked.execute("select pg_terminate_backend(%s, 10000)", (cursor.connection.get_backend_pid(),))
        # Of a statement that was done the answer is lost.
        cursor.execute("select 1")


def entry(kind: DagsterEventType, data: Any) -> EventLogEntry:
    told = DagsterEvent(event_type_value=kind.value, job_name="demo", step_key="cohorts", event_specific_data=data)
    return EventLogEntry(
        error_info=None, level="debug", user_message="", run_id=RUN, timestamp=1_700_000_000.0, dagster_event=told
    )


EVENTS = {
    "materialization": entry(
        DagsterEventType.ASSET_MATERIALIZATION,
        StepMaterializationData(AssetMaterialization(KEY, tags={DATA_VERSION_TAG: "4"}), []),
    ),
    "planned check": entry(
        DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
        AssetCheckEvaluationPlanned(asset_key=KEY, check_name="cohorts_are_whole"),
    ),
    "check": entry(
        DagsterEventType.ASSET_CHECK_EVALUATION,
        AssetCheckEvaluation(asset_key=KEY, check_name="cohorts_are_whole", passed=True, metadata={}),
    ),
}

WRITTEN = {
    "materialization": ("event_logs", "asset_event_tags", "asset_keys"),
    "planned check": ("event_logs", "asset_check_executions"),
    "check": ("event_logs", "asset_check_executions"),
}


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Of each table, without the numbers that the server counts."""
    with sqlalchemy.create_engine(url).connect() as connection:
        return {
            name: [row_of(row) for row in connection.execute(sqlalchemy.text(f"select * from {name}"))]
            for name in TABLES
        }


def row_of(row: sqlalchemy.Row[Any]) -> tuple[Any, ...]:
    counted = re.compile(r'"storage_id": \d+')
    kept = [value for name, value in row._mapping.items() if not name.endswith("id") and name != "create_timestamp"]
    return tuple(counted.sub("", value) if isinstance(value, str) else value for value in kept)


@pytest.mark.parametrize("kind", EVENTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_event_is_there_once(url: str, kind: str, when: str) -> None:
    clean(url)
    PostgresEventLogStorage(url).store_event(EVENTS[kind])
    expected = rows(url)
    assert all(expected[name] for name in WRITTEN[kind])
    for at in itertools.count(1):
        clean(url)
        log = PatientEventLog(url)
        ending = Ending(url, log._engine, at, when)
        log.store_event(EVENTS[kind])
        assert rows(url) == expected, f"{when} statement {at}"
        if not ending.has_ended:
            break
    assert at > 2, "the event, and that it is there"


def clean(url: str) -> None:
    PostgresEventLogStorage.create_clean_storage(url)


def test_without_it_the_event_fails(url: str) -> None:
    clean(url)
    log = PostgresEventLogStorage(url)
    Ending(url, log._engine, 1, "before")
    with pytest.raises(OperationalError):
        log.store_event(EVENTS["materialization"])


@pytest.mark.parametrize("when", ["before", "after"])
def test_runs_are_asked_for_again(url: str, when: str) -> None:
    runs = PatientRunStorage(url)
    runs.wipe()
    runs.add_run(DagsterRun(job_name="demo", run_id=RUN, status=DagsterRunStatus.STARTED))
    for at in (1, 2, 3):
        ending = Ending(url, runs._engine, at, when)
        told = DagsterEvent(event_type_value=DagsterEventType.RUN_SUCCESS.value, job_name="demo")
        runs.handle_run_event(RUN, told)
        (run,) = runs.get_runs()
        assert (run.status, ending.has_ended) == (DagsterRunStatus.SUCCESS, True)
    runs.add_run_tags(RUN, {"month": "2025-02"})
    assert runs.get_run_tags(["month"]) == [("month", {"2025-02"})]


def test_what_is_wrong_is_said_at_once(url: str) -> None:
    log = PatientEventLog(url)
    with sqlalchemy.create_engine(url).connect() as connection:
        connection.execute(sqlalchemy.text("drop table event_logs"))
        connection.commit()
    with pytest.raises(sqlalchemy.exc.ProgrammingError, match="event_logs"):
        log.store_event(EVENTS["check"])
