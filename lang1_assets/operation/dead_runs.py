"""Dagster runs whose process was killed: found, marked as failed, their place in the accelerator pool free again.

A worker that is killed with -9 tells nobody. Its code server notices while it lives; when both are gone, the machine was restarted
or the run came from a terminal, the run stays "started" and keeps its place, and whatever needs the accelerator waits for ever.
Dagster's run monitoring asks launchers whether their workers live. Its default one, which starts plain processes, does not answer;
and nobody asks after runs from a terminal.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import dagster as dg
from dagster import DagsterEventType, DagsterRunStatus

from lang1_assets.ops.process_identity import (
    ProcessIdentity,
    identify,
    is_gone,
    is_of_earlier_boot,
    runs_the_same_program,
)

PROCESS_TAG = "lang1/process"
"""The identity of a run's process: from a terminal at once, otherwise from when it is first seen alive."""
KILLED = "its process was killed; the next run goes on from what it had finished"
STARTED_PROCESS = "Started process for run"
IN_PROGRESS = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
STEP_ENDS = {
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.STEP_SKIPPED,
}


def process_tag() -> dict[str, str]:
    """For a run in this very process; nothing where the system does not tell processes apart (`/proc`)."""
    try:
        here = identify(os.getpid())
    except OSError:
        return {}
    return {} if here is None else {PROCESS_TAG: str(here)}


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> ProcessIdentity | None:
    """The process that a run's tags name; None where none is known yet.

    Dagster copies tags to a run that takes up another one: what both say is the earlier run's process, and so may be what the
    later one says where the earlier one was deleted.
    """
    tag = run.tags.get(PROCESS_TAG, "")
    if tag and run.parent_run_id is not None:
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None or parent.tags.get(PROCESS_TAG) == tag:
            return None
    return ProcessIdentity.parse(tag)


def find_dead_runs(instance: dg.DagsterInstance, say: Callable[[str], None]) -> set[str]:
    """Runs in progress whose process and whose steps' processes have ended."""
    return {
        run.run_id
        for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS))
        if not is_looked_after(instance, run)
        and worker_has_ended(instance, run, say)
        and not has_working_steps(instance, run, say)
    }


def is_looked_after(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether Dagster's run monitoring asks the launcher after this run, and may start it again; only of one that has begun."""
    is_asked = instance.run_monitoring_enabled and instance.run_launcher.supports_check_run_worker_health
    return is_asked and run.status == DagsterRunStatus.STARTED and not is_from_terminal(run)


def is_from_terminal(run: dg.DagsterRun) -> bool:
    """Daemon and browser start runs of a code location; `lang1` starts them in its own process."""
    return run.remote_job_origin is None


def close_dead_runs(instance: dg.DagsterInstance, run_ids: Iterable[str], say: Callable[[str], None]) -> list[str]:
    """Mark runs as failed, or as canceled where a person had asked for that, and free their places; those that were marked."""
    closed = []
    for run_id in run_ids:
        run = instance.get_run_by_id(run_id)
        # The code server may have noticed in the meantime.
        if run is None or run.status not in IN_PROGRESS:
            continue
        if run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, KILLED)
        else:
            instance.report_run_failed(run, KILLED)
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
        say(f"run {run_id}: {KILLED}")
        closed.append(run_id)
    return closed


def worker_has_ended(instance: dg.DagsterInstance, run: dg.DagsterRun, say: Callable[[str], None]) -> bool:
    """Whether the process of a run is certainly gone. One that is seen alive is remembered, before its number is given again."""
    known = process_of(instance, run)
    if known is not None:
        gone = is_gone(known)
        # Of a launcher that knows where its workers are, the daemon is there, and waits no longer than run monitoring is told to.
        if gone is None and not instance.run_launcher.supports_check_run_worker_health:
            say(
                f"run {run.run_id} belongs to {known.host}, which this place cannot look at; end it there, or in Dagster"
            )
        return bool(gone)
    pid = launched_process(instance, run)
    if pid is None:
        return False
    seen = identify(pid)
    if seen is None or not runs_the_same_program(pid):
        return True
    instance.add_run_tags(run.run_id, {PROCESS_TAG: str(seen)})
    return False


def launched_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """Number of the process that the code server started for a run on this machine; None for a run that began otherwise.

    Launchers of containers and clusters answer Dagster's own run monitoring, and their processes are elsewhere.
    """
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return None
    for record in instance.get_records_for_run(run.run_id, of_type=DagsterEventType.ENGINE_EVENT).records:
        event = record.event_log_entry.dagster_event
        if event is not None and (event.message or "").startswith(STARTED_PROCESS):
            return pid_of(event)
    return None


def has_working_steps(instance: dg.DagsterInstance, run: dg.DagsterRun, say: Callable[[str], None]) -> bool:
    """Whether a step goes on without its run: it keeps the accelerator, and what it makes is kept, so it is let be."""
    known = process_of(instance, run)
    if known is not None and is_of_earlier_boot(known):
        # Numbers of then are anybody's now.
        return False
    working: dict[str, int] = {}
    wanted = {DagsterEventType.STEP_WORKER_STARTED, *STEP_ENDS}
    for record in instance.get_records_for_run(run.run_id, of_type=wanted).records:
        event = record.event_log_entry.dagster_event
        if event is None or event.step_key is None:
            continue
        pid = pid_of(event) if event.event_type == DagsterEventType.STEP_WORKER_STARTED else None
        if pid is not None:
            working[event.step_key] = pid
        elif event.event_type in STEP_ENDS:
            working.pop(event.step_key, None)
    alive = [step for step, pid in working.items() if identify(pid) is not None and runs_the_same_program(pid)]
    for step in alive:
        say(
            f"run {run.run_id}: its process was killed, and its step {step} goes on (process {working[step]}); waiting for it"
        )
    return bool(alive)


def pid_of(event: dg.DagsterEvent) -> int | None:
    """The process number that an event of Dagster's names."""
    value = getattr(event.event_specific_data, "metadata", {}).get("pid")
    text = getattr(value, "text", "")
    return int(text) if text.isdecimal() else None
