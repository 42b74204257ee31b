"""Forgetting people on request: taken out of what was made from their records, and the models that saw them marked."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from lang1_assets.ops.forgetting.subjects import ForgettingError
from lang1_assets.resources import audit
from lang1_assets.resources.mlflow_client import open_client
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, lang1_home

if TYPE_CHECKING:
    from mlflow import MlflowClient

JOB = "forget_subject"
PEOPLE_TAG, TIME_TAG = "privacy.forgotten_people", "privacy.forgotten_at"
"""On versions and runs in MLflow: how many people were named by the requests that found the model to have seen any of theirs, or
maybe; and when the last of them was. A request is not told apart by person: of its people a model may have seen some."""
IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
Say = Callable[[str], None]


class ForgetConfig(dg.Config):
    """Whom to forget. What is typed here stays in Dagster's database of runs: with `ids_file` no id gets there."""

    subject_ids: list[str] = Field(default_factory=list)
    ids_file: str | None = None
    """A file on the server with one id a line."""
    absent_too: bool = False
    """Also people of whom nothing here has a row: later records may bring them."""
    dry_run: bool = True
    """Say what would be done, and do nothing."""


def build_jobs(settings: Settings) -> list[dg.JobDefinition]:
    @dg.op(name="forget", description="Takes people out of everything that was made from their records.")
    def _forget(context: dg.OpExecutionContext, config: ForgetConfig, tracking: Tracking) -> None:
        subjects = [*config.subject_ids, *ids_in(config.ids_file)]
        try:
            if config.dry_run:
                preview(subjects, context.log.info)
                return
            require_no_run(context.instance, besides=context.run_id)
            forget(settings, tracking, subjects, absent_too=config.absent_too, say=context.log.info)
        except ForgettingError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    @dg.job(
        name=JOB,
        description="Removes people from every artifact that holds their rows or text, and marks the models that saw them. "
        "The next run makes what was removed again, without them.",
    )
    def _forget_subject() -> None:
        _forget()

    return [_forget_subject]


def ids_in(file: str | Path | None) -> list[str]:
    """One id a line; blank lines do not count."""
    if file is None:
        return []
    try:
        lines = Path(file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ForgettingError(
            f"{file}: cannot be read ({type(error).__name__}); expected one subject id a line"
        ) from None
    return [line for line in lines if line.strip()]


def preview(subjects: Iterable[str], say: Say) -> None:
    """What forgetting people would do, line by line; nothing is changed.

    Raises:
        ForgettingError: an id is none.
    """
    from lang1_assets.ops.forgetting.request import lines_of, survey
    from lang1_assets.ops.forgetting.search import Identifiers
    from lang1_assets.ops.forgetting.subjects import check_subject_ids

    found = survey(lang1_home(), Identifiers(subjects=frozenset(check_subject_ids(subjects))))
    for line in lines_of(found):
        say(line)
    say("nothing was changed")


def require_no_run(instance: dg.DagsterInstance, besides: str | None = None) -> None:
    """Stop while a run could write what was read before somebody was forgotten.

    Raises:
        ForgettingError: with the runs that go on.
    """
    runs = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS))
    going = [record.dagster_run for record in runs if record.dagster_run.run_id != besides]
    if going:
        named = ", ".join(f"{run.job_name} {run.run_id[:8]}" for run in going)
        raise ForgettingError(
            f"in progress: {named}; wait until they have ended, or stop them: they may bring rows back"
        )


def forget(
    settings: Settings, tracking: Tracking, subjects: Iterable[str], *, absent_too: bool, say: Say
) -> Mapping[str, Any]:
    """The whole request, and what an interrupted one left to do; its record.

    Raises:
        ForgettingError: it cannot be carried out, or not to its end; asked again, it goes on.
    """
    from lang1_assets.ops.forgetting import request as requests
    from lang1_assets.ops.forgetting import subjects as people

    home = lang1_home()
    # A key that cannot be read stops the request here, and not when everything but its record is done.
    audit.audit_key()
    with people.one_at_a_time(home), people.nothing_is_made(home):
        asked = requests.begin(home, subjects, absent_too=absent_too, now=datetime.now(UTC))
        say(f"{len(asked['subjects'])} people are on the list; no run brings them back from here on")
        requests.take_out(home, asked, say)
        remove_database_elsewhere(say)
        empty_server(settings, say)
        counts = requests.forgotten_by_model(home, asked)
        versions = mark_models(tracking, asked["models"], counts)
        for model in asked["models"]:
            registered = "; ".join(versions.get(model["fingerprint"], ())) or "in no registry"
            say(f"{requests.model_line(model)}; {registered}")
        record = requests.record_of(asked, datetime.now(UTC)) | {"versions": versions}
        audit.record_forgotten(audit.audit_folder(home), record)
        people.end_request(home, record)
    say(
        "done. Weights cannot forget: train again what must not have seen them, and see docs/privacy.md for what else remains"
    )
    return record


def remove_database_elsewhere(say: Say) -> None:
    """The database that SQL works in, where the environment has put it outside the home."""
    configured = os.environ.get("LANG1_DUCKDB_PATH")
    for path in (Path(configured), Path(f"{configured}.wal")) if configured else ():
        if path.is_file():
            path.unlink()
            say(f"removed {path}")
    # What did not fit in memory, of a build that was killed.
    spilled = Path(f"{configured}.tmp")
    if configured and spilled.is_dir():
        shutil.rmtree(spilled)
        say(f"removed {spilled}")


def empty_server(settings: Settings, say: Say) -> None:
    """The tables that were made on the hospital's own server, where the records come from one."""
    if settings.source.postgres_schema is None:
        return
    from lang1_assets.ops.sources import server

    for name in server.drop_work_tables():
        say(f"removed table {name} of the work schema")


def mark_models(
    tracking: Tracking, models: Sequence[Mapping[str, Any]], counts: Mapping[str, int]
) -> dict[str, list[str]]:
    """Tags on the registered versions and the runs of models; fingerprint -> its versions, in words. Never an id of a person."""
    if not models:
        return {}
    client = open_client(tracking.tracking_uri)
    wanted = {model["fingerprint"] for model in models}
    versions: dict[str, list[str]] = {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for version in client.search_model_versions(max_results=10_000):
        fingerprint = version.tags.get("fingerprint", "")
        if fingerprint in wanted:
            for tag, value in ((PEOPLE_TAG, str(counts[fingerprint])), (TIME_TAG, now)):
                client.set_model_version_tag(version.name, version.version, tag, value)
            versions.setdefault(fingerprint, []).append(f"{version.name} version {version.version}")
    for run_id, fingerprint in {(model["mlflow_run_id"], model["fingerprint"]) for model in models}:
        if run_id is not None:
            _tag_run(client, run_id, {PEOPLE_TAG: str(counts[fingerprint]), TIME_TAG: now})
    return versions


def _tag_run(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.exceptions import MlflowException

    try:
        for tag, value in tags.items():
            client.set_tag(run_id, tag, value)
    except MlflowException:
        # The tracking database was removed or replaced since: the record of the request has the run's id all the same.
        return
