"""A sensor, a schedule and their runs: nothing twice, nothing lost, the same end for every order of arrival."""

import json
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from lang1_assets.months import arrive, landed
from lang1_assets.ops.forgetting.subjects import end_request, write_unfinished
from lang1_assets.ops.landing.manifest import MANIFEST_FILE
from lang1_assets.ops.landing.months import day_after, next_month
from lang1_assets.ops.landing.plan import COHORTS, EVALUATION, EXPORT
from lang1_assets.ops.tasks import REMEDE
from tests.landed_hospital import LandedHospital
from tests.mlflow_database import database  # noqa: F401

NO_PRINTED_LOGS = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


@pytest.fixture
def hospital(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> LandedHospital:  # noqa: F811
    hospital = LandedHospital(tmp_path, database)
    hospital.replace_slow_parts(monkeypatch)
    hospital.put_in_service("model")
    return hospital


def sensor_of(hospital: LandedHospital) -> dg.SensorResult:
    # Left open, a context keeps an instance that is gone for whoever loads definitions next.
    with dg.build_sensor_context(
        instance=hospital.instance, cursor=hospital.cursor, resources={"store": hospital.store}
    ) as context:
        result = arrive.landing_sensor(hospital.settings)(context)
    assert isinstance(result, dg.SensorResult)
    hospital.cursor = result.cursor
    return result


def schedule_of(hospital: LandedHospital) -> list[dg.RunRequest]:
    return arrive.look_once(hospital.instance, hospital.store, hospital.settings)


def test_the_schedule_does_the_same_once_a_month(hospital: LandedHospital, tmp_path: Path) -> None:
    hospital.land("2025-02")
    schedule = arrive.monthly_check(hospital.settings)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with dg.build_schedule_context(instance=instance, resources={"store": hospital.store}) as context:
            asked = list(schedule(context))  # type: ignore[arg-type]
        assert instance.get_dynamic_partitions("dated_exports") == ["2025-02"]
    assert [run.run_key for run in asked] == [run.run_key for run in hospital.tick().runs]
    assert schedule.cron_schedule == "0 3 2 * *"


def test_the_sensor_asks_for_the_oldest_month_first_and_makes_it_a_partition(hospital: LandedHospital) -> None:
    hospital.land("2025-03")
    hospital.land("2025-02")
    result = sensor_of(hospital)
    runs = result.run_requests or []
    assert [run.partition_key for run in runs] == ["2025-02", "2025-03"]
    assert {key.to_user_string() for key in runs[0].asset_selection or []} == {EXPORT, COHORTS, EVALUATION}
    (added,) = result.dynamic_partitions_requests or []
    assert list(added.partition_keys) == ["2025-02", "2025-03"]


def test_an_empty_area_is_skipped_with_a_word(hospital: LandedHospital) -> None:
    assert f"{hospital.landing}: nothing is there" in str(sensor_of(hospital).skip_reason), (
        "a mistyped name is no empty folder"
    )
    hospital.landing.mkdir()
    result = sensor_of(hospital)
    assert not result.run_requests
    assert "nothing new has landed" in str(result.skip_reason)
    hospital.land("2025-02", manifest=False)
    assert f"2025-02: no {MANIFEST_FILE}" in str(sensor_of(hospital).skip_reason)


def test_a_month_is_evaluated_once_and_its_returns_when_they_are_known(hospital: LandedHospital) -> None:
    hospital.land("2025-07")
    hospital.settle()
    tasks = hospital.evaluation("2025-07").summary["tasks"]
    assert [task for task, told in tasks.items() if not told["ripe"]] == ["readmission"]
    hospital.land("2025-08")
    hospital.settle()
    assert hospital.evaluation("2025-07").summary["tasks"]["readmission"]["ripe"]
    assert hospital.cohorts("2025-07")["followed_by"] == {"2025-08": hospital.export("2025-08")["content"]}
    scored = {name: times for name, times in hospital.made.items() if name.startswith("scored 2025-07")}
    assert set(scored.values()) == {1}, "what was scored before is not scored again when another task ripens"
    assert len(scored) == 5
    assert hospital.settle() == []


def test_two_sensors_and_a_schedule_at_once_make_one_result(hospital: LandedHospital, tmp_path: Path) -> None:
    # On disk: a database in memory refuses a second thread. Without logs of what threads print: they would take it from each other.
    (tmp_path / "dagster").mkdir()
    hospital.instance = dg.DagsterInstance.local_temp(str(tmp_path / "dagster"), overrides=NO_PRINTED_LOGS)
    hospital.land("2025-02")
    asked = [*hospital.tick().runs, *hospital.tick().runs, *schedule_of(hospital)]
    assert len(asked) == 3
    assert len({run.run_key for run in asked}) == 1
    with ThreadPoolExecutor(len(asked)) as pool:
        assert all(done.success for done in pool.map(hospital.run, asked))
    assert set(hospital.made.values()) == {1}
    assert hospital.export("2025-02")["revision"] == 1
    assert hospital.settle() == []


def test_a_run_in_progress_is_not_asked_for_again(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    (request,) = hospital.tick().runs
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING):
        with dg.DagsterInstance.ephemeral() as instance:
            hospital.instance = instance
            tags = {**request.tags, "dagster/partition": "2025-02"}
            instance.add_run(dg.DagsterRun(job_name=arrive.LANDED_JOB, tags=tags, status=status))
            assert hospital.tick().runs == []


def test_a_month_at_work_is_left_alone_even_when_it_is_corrected(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    hospital.tick()
    tags = {"dagster/partition": "2025-02", arrive.WORK_TAG: "something else"}
    run = dg.DagsterRun(job_name=arrive.LANDED_JOB, tags=tags, status=dg.DagsterRunStatus.STARTED)
    hospital.instance.add_run(run)
    hospital.land("2025-02", "corrected")
    assert hospital.tick().runs == []
    hospital.instance.report_run_failed(run)
    assert len(hospital.tick().runs) == 1


def test_after_a_restart_everything_goes_on(hospital: LandedHospital) -> None:
    """Another process, no cursor, no runs in its database: the store knows."""
    hospital.land("2025-02")
    hospital.settle()
    made = dict(hospital.made)
    hospital.cursor, hospital.instance = None, dg.DagsterInstance.ephemeral()
    assert hospital.settle() == []
    assert dict(hospital.made) == made


def test_without_a_manifest_an_export_is_taken_when_it_has_settled(hospital: LandedHospital) -> None:
    hospital.land("2025-02", manifest=False)
    assert hospital.tick(now=0).runs == []
    (request,) = hospital.tick(now=600).runs
    hospital.run(request)
    assert hospital.export("2025-02")["has_manifest"] is False
    # Written again, with the same content: it is looked at, and nothing happens.
    hospital.land("2025-02", manifest=False)
    assert hospital.tick(now=601).runs == []
    (request,) = hospital.tick(now=1300).runs
    made = dict(hospital.made)
    hospital.run(request)
    assert dict(hospital.made) == made
    assert hospital.tick(now=1301).runs == []
    # And it does not stand in the way of what is to be done about the month later.
    hospital.put_in_service("better")
    (request,) = hospital.tick(now=1302).runs
    hospital.run(request)
    assert hospital.evaluation("2025-02").summary["model"] == "better"
    hospital.cursor, hospital.instance = None, dg.DagsterInstance.ephemeral()
    assert [hospital.tick(now=now).runs for now in (2000, 2600)] == [[], []]


def test_nothing_is_asked_for_while_people_are_being_forgotten(hospital: LandedHospital, tmp_path: Path) -> None:
    hospital.land("2025-02")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANG1_HOME", str(tmp_path))
        write_unfinished(tmp_path, {"subjects": ["P1"]})
        found = hospital.tick()
        assert (found.runs, found.new_months, schedule_of(hospital)) == ([], [], [])
        assert "complete it with: lang1 forget" in found.words
        end_request(tmp_path, {})
        assert len(hospital.tick().runs) == 1


def test_an_export_without_a_manifest_that_changes_before_its_run_is_not_taken(hospital: LandedHospital) -> None:
    hospital.land("2025-02", manifest=False)
    hospital.tick(now=0)
    (request,) = hospital.tick(now=600).runs
    hospital.land("2025-02", "half of a correction", manifest=False)
    assert not hospital.run(request, raise_on_error=False).success
    assert hospital.store.find(f"{EXPORT}/2025-02") is None
    assert hospital.tick(now=700).runs == []
    (request,) = hospital.tick(now=1300).runs
    assert hospital.run(request).success


def test_a_correction_is_evaluated_again_and_the_earlier_result_stays_readable(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    hospital.settle()
    first = hospital.evaluation("2025-02")
    hospital.land("2025-02", "corrected")
    hospital.settle()
    second = hospital.evaluation("2025-02")
    assert (second.summary["revision"], first.summary["revision"]) == (2, 1)
    earlier = hospital.store.get(f"{landed.HISTORY}/{EVALUATION}/2025-02/joint/{first.fingerprint}")
    assert earlier.summary == first.summary
    assert (earlier.path / "predictions.parquet").exists()


def test_a_model_that_takes_over_is_asked_about_what_landed_before(hospital: LandedHospital) -> None:
    hospital.land("2025-02")
    hospital.settle()
    made = {name for name in hospital.made if name.startswith("cohorts")}
    hospital.put_in_service("better")
    (request,) = hospital.tick().runs
    assert [key.to_user_string() for key in request.asset_selection or []] == [EVALUATION]
    hospital.settle()
    assert hospital.evaluation("2025-02").summary["model"] == "better"
    assert {name: hospital.made[name] for name in made} == dict.fromkeys(made, 1)


def test_exports_that_landed_before_any_model_wait_for_one(hospital: LandedHospital) -> None:
    shutil.rmtree(hospital.store.path(landed.IN_SERVICE))
    hospital.land("2025-02")
    hospital.settle()
    assert hospital.store.find(f"{EVALUATION}/2025-02/joint") is None
    hospital.put_in_service("model")
    hospital.settle()
    assert hospital.evaluation("2025-02")


def test_no_more_runs_at_a_time_than_asked_and_the_rest_later(hospital: LandedHospital) -> None:
    operating = hospital.settings.operate.model_copy(update={"max_runs_a_tick": 2})
    hospital.settings = hospital.settings.model_copy(update={"operate": operating})
    for month in ("2025-05", "2025-04", "2025-03"):
        hospital.land(month)
    found = hospital.tick()
    assert [run.partition_key for run in found.runs] == ["2025-03", "2025-04"]
    assert found.num_waiting == 1


THOUSAND = [f"{2025 + number // 12}-{number % 12 + 1:02d}" for number in range(75 * 12)]


def land_many(hospital: LandedHospital) -> dict[str, str]:
    """Month -> digest of its listing; files that no test reads."""
    for month in THOUSAND:
        folder = hospital.landing / month
        folder.mkdir(parents=True)
        (folder / "notes.csv").write_text(month)
        (folder / MANIFEST_FILE).write_text(
            f'{{"files": [{{"name": "notes.csv", "bytes": 7, "sha256": "{month.replace("-", ""):0>64}"}}]}}'
        )
    return {month: one.digest for month, one in landed.landing_area(hospital.settings).listings().items()}


def test_many_hundred_months_land_at_once_and_are_not_read_again(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_many(hospital)
    found = hospital.tick()
    assert [run.partition_key for run in found.runs] == THOUSAND[: hospital.settings.operate.max_runs_a_tick]
    assert found.num_waiting == len(THOUSAND) - len(found.runs)
    # Neither manifest nor file is read at the next look.
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.cat_file", None)
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.open", None)
    again = hospital.tick()
    assert [run.run_key for run in again.runs] == [run.run_key for run in found.runs]


def test_many_hundred_months_that_are_done_are_looked_at_in_seconds(
    hospital: LandedHospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = dict.fromkeys(("num_staged", "num_of_month", "num_of_other_months", "num_clean"), 0)
    for month, digest in land_many(hospital).items():
        content = {"content": month, "covers_until": str(day_after(month)), "revision": 1, "listing": digest}
        followed = [next_month(month)] if month < THOUSAND[-1] else []
        short = followed and (day_after(followed[0]) - day_after(month)).days < 30
        followed += [next_month(followed[0])] if short else []
        tasks = {task: {"ripe": bool(followed) or task != "readmission"} for task in REMEDE}
        labelled = {"export": content, "followed_by": {name: name for name in followed}, "notes": notes}
        finished(hospital, f"{EXPORT}/{month}", content)
        finished(hospital, f"{COHORTS}/{month}", labelled | {"tasks": tasks, "rejected_by_cleaning": 0})
        finished(hospital, f"{EVALUATION}/{month}/joint", {"model": "model", "cohorts": "made"})
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.cat_file", None)
    started = time.perf_counter()
    found = hospital.tick()
    # It takes about one; a sensor may take sixty.
    assert time.perf_counter() - started < 30
    assert (found.runs, found.seen) == ([], {})


def finished(hospital: LandedHospital, name: str, summary: Mapping[str, Any]) -> None:
    """An artifact as the store leaves it, without files."""
    folder = hospital.store.path(name)
    folder.mkdir(parents=True)
    facts = {"fingerprint": "made", "inputs": {}, "created": "2025-01-01", "files": {}, "summary": summary}
    (folder / "artifact.json").write_text(json.dumps(facts))


@given(data=st.data())
@hypothesis_settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_arrival_ends_the_same(
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
    database: Path,  # noqa: F811
) -> None:
    """Through the real assets; `tests/ops/landing/test_plan.py` tries many more orders."""
    months = ["2025-01", "2025-02", "2025-03"]
    with pytest.MonkeyPatch.context() as patch:
        in_order = LandedHospital(tmp_path_factory.mktemp("in order"), database)
        shuffled = LandedHospital(tmp_path_factory.mktemp("shuffled"), database)
        for hospital in (in_order, shuffled):
            hospital.put_in_service("model")
        in_order.replace_slow_parts(patch)
        for month in months:
            in_order.land(month)
        in_order.settle()
        shuffled.replace_slow_parts(patch)
        for month in data.draw(st.permutations(months)):
            for kind in data.draw(st.lists(st.sampled_from(["half", "earlier", "corrupt", "run"]), max_size=3)):
                if kind == "run":
                    for request in shuffled.tick().runs:
                        shuffled.run(request, raise_on_error=False)
                    continue
                shuffled.land(month, "earlier" if kind == "earlier" else "")
                path = shuffled.landing / month / "notes.csv"
                if kind == "half":
                    path.unlink()
                elif kind == "corrupt":
                    path.write_bytes(path.read_bytes().replace(b"P20", b"Q20", 1))
            shuffled.land(month)
        shuffled.settle()
        assert shuffled.outcome == in_order.outcome
        assert shuffled.tick().runs == []
