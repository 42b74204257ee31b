"""One run of the whole path while one kind of process is killed again and again."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from tests.faults import outcome
from tests.faults.outcome import Undisturbed
from tests.faults.targets import LIVES, NOTHING, strike
from tests.serving import Served

JOB = "demo"
VARIANT = "mini-notesplus-webtexts"
IN_PROGRESS = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}
POLL_SECONDS = 0.5
SETTLE_SECONDS = 90.0
"""The reaper and run monitoring look a few times a minute."""
MAX_SECONDS = 3600.0
GIVEN_UP = "GIVEN_UP"
FAILED = ("FAILURE", GIVEN_UP)
GIVEN_UP_SECONDS = 180.0
"""Dagster starts a run again within seconds, or the reaper asks it to after a minute."""


@dataclass(kw_only=True)
class Trial:
    """What happened, and what was wrong at the end."""

    target: str
    kills: int = 0
    """Of the clock: how often it was set."""
    attempts: int = 0
    """Dagster runs that it took: the first, those that Dagster started again by itself, and those of `by_hand`."""
    by_hand: int = 0
    """How often Dagster gave up, and a person would have had to press the button."""
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def is_as_undisturbed(self) -> bool:
        return not (self.lost or self.twice or self.left)


def clear(served: Served) -> None:
    """Everything that runs have made; what the services keep stays."""
    shutil.rmtree(artifacts_of(served), ignore_errors=True)
    shutil.rmtree(served.places.home / "warehouse", ignore_errors=True)


def artifacts_of(served: Served) -> Path:
    return served.places.home / "artifacts" / "faults"


def run_once(served: Served, target: str | None, max_kills: int, rng: random.Random) -> Trial:
    """The whole path from nothing, with up to `max_kills` kills at random moments, until it has succeeded.

    Args:
        target: what is killed; None for nothing.
    """
    clear(served)
    trial = Trial(target=target or NOTHING)
    began, wall = time.monotonic(), time.time()
    client = MlflowClient(f"http://127.0.0.1:{served.mlflow_port}")
    earlier = {run.info.run_id for run in stubbornly(lambda: list(outcome.all_runs(client)))}
    audit = served.places.home / "audit" / "audit.jsonl"
    rows_before = outcome.audit_rows(audit)
    roots = [launch(served)]
    age = draw_age(target, rng)
    failed_since = None
    while (state := state_of(served, roots[-1])) != "SUCCESS":
        if time.monotonic() - began > MAX_SECONDS:
            trial.lost.append(f"no end after {MAX_SECONDS / 60:.0f} minutes; the run is {state}")
            break
        failed_since = (failed_since or time.monotonic()) if state in FAILED else None
        if failed_since and (state == GIVEN_UP or time.monotonic() - failed_since > GIVEN_UP_SECONDS):
            trial.by_hand += 1
            roots.append(launch(served))
        if target and trial.kills < max_kills and strike(target, served, wall, age, rng):
            trial.kills += 1
            age = draw_age(target, rng)
        time.sleep(POLL_SECONDS)
    trial.seconds = time.monotonic() - began
    trial.attempts = len(attempts(served, roots))
    judge_left(served, trial, client, earlier, audit, rows_before)
    return trial


def draw_age(target: str | None, rng: random.Random) -> float:
    return rng.uniform(0, LIVES[target]) if target else 0.0


def judge_left(
    served: Served, trial: Trial, client: MlflowClient, earlier: set[str], audit: Path, rows_before: int
) -> None:
    """What is half done, open or there twice, once everything has had its time to settle."""
    patiently(served.all_answer)

    def unsettled() -> list[str]:
        return outcome.half_written(artifacts_of(served)) + outcome.tracked_wrongly(client, earlier)

    patiently(lambda: not unsettled())
    for said in unsettled():
        (trial.twice if "twice" in said or "times" in said else trial.left).append(said)
    trial.twice += outcome.made_twice(audit, rows_before)


def judge_result(served: Served, trial: Trial, reference: Undisturbed) -> None:
    trial.lost += reference.differences(artifacts_of(served))


def launch(served: Served) -> str:
    return str(
        stubbornly(
            lambda: served.launch(
                JOB, tags={"dagster/partition": VARIANT, "dagster/max_retries": "20"}, in_process=True
            )
        )
    )


def attempts(served: Served, roots: list[str]) -> list[dict[str, Any]]:
    """Runs of the trial, the latest first."""
    runs: list[dict[str, Any]] = stubbornly(served.runs)
    return [run for run in runs if run["runId"] in roots or run["rootRunId"] in roots]


def state_of(served: Served, root: str) -> str:
    """`SUCCESS` when one attempt succeeded, `FAILURE` when the last one failed and there is no other yet, `GIVEN_UP` when there
    will be none: a step failed, after its own retries."""
    runs = attempts(served, [root])
    if any(run["status"] == "SUCCESS" for run in runs):
        return "SUCCESS"
    if any(run["status"] in IN_PROGRESS for run in runs):
        return "STARTED"
    last = {tag["key"]: tag["value"] for tag in runs[0]["tags"]} if runs else {}
    return GIVEN_UP if last.get("dagster/will_retry") == "false" else "FAILURE"


def stubbornly(ask: Callable[[], Any], seconds: float = 600.0) -> Any:
    """An answer of services that may just have been killed."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def patiently(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        if stubbornly(holds):
            return True
        time.sleep(2)
    return False
