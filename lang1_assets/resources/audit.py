"""What the artifact store tells the audit: who is at work, under which run of Dagster, with which code.

Every artifact passes through `ArtifactStore.build`, so every asset is audited there and none by itself.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.ops.audit import attempts
from lang1_assets.ops.audit.entries import Entry, Link, link_of, os_user
from lang1_assets.ops.audit.keys import KEY_VARIABLE, pseudonym, read_key
from lang1_assets.ops.audit.verification import Anchor

AUDIT_METADATA = "audit_row"
"""The metadata of a materialization that keeps the row's number and hash where the audit's writer need not be able to write."""
LAUNCH_TAGS = (
    "user",
    "dagster/from_ui",
    "dagster/schedule_name",
    "dagster/sensor_name",
    "dagster/run_key",
    "dagster/backfill",
    "dagster/from_automation_condition",
    "dagster/parent_run_id",
)
"""Tags of a run that say who or what started it; no other tag is copied."""
SOURCE_FOLDER = Path(__file__).resolve().parents[2]
EVENTS_A_PAGE = 1000


@dataclass(frozen=True, kw_only=True)
class Trail:
    """The audit of one artifact, while its store holds the artifact's lock."""

    folder: Path | None
    """None: nothing is recorded, as in tests of other things."""
    entry: Entry
    """The row that there will be when the artifact is made."""
    place: attempts.Place

    def reused(self) -> str:
        """Record that the artifact was up to date; the row's link."""
        if self.folder is not None:
            attempts.settle(self.folder, self.place, audit_key())
        return self._record(replace(self.entry, event="reused"))

    @contextmanager
    def making(self) -> Iterator[Trail]:
        """An attempt: what is yielded records its success; where the block ends in an error, so does the row."""
        attempt = replace(self, entry=replace(self.entry, begun=datetime.now(UTC).isoformat(timespec="microseconds")))
        if attempt.folder is not None:
            attempts.begin(attempt.folder, attempt.entry, attempt.place, audit_key())
        try:
            yield attempt
        except BaseException as error:
            # The first error is the one to show; what cannot be written now, the next process writes.
            with suppress(Exception):
                attempt._record(_ended_badly(attempt.entry, error), ended=True)
            raise

    def made(self, summary: Mapping[str, Any]) -> str:
        """Record that the artifact is finished; the row's link."""
        return self._record(*attempts.outcome(self.entry, summary), ended=True)

    def _record(self, *entries: Entry, ended: bool = False) -> str:
        if self.folder is None:
            return ""
        rows = attempts.record(self.folder, entries, audit_key(), self.place if ended else None)
        return str(link_of(rows[-1]))


def trail_of(
    folder: str | None,
    name: str,
    place: attempts.Place,
    *,
    profile: str,
    fingerprint: str,
    inputs: Mapping[str, str],
) -> Trail:
    """The audit of an artifact that is about to be made or reused."""
    step = running_step()
    entry = Entry(
        event="materialized",
        user=os_user(),
        profile=profile,
        artifact=name,
        asset=step.pop("asset", None) or name.split("/")[0],
        inputs=dict(inputs),
        fingerprint=fingerprint,
        code={} if folder is None else code_version(),
        **step,
    )
    return Trail(folder=None if folder is None else Path(folder), entry=entry, place=place)


def record_forgotten(folder: Path, request: Mapping[str, Any]) -> None:
    """Record that people were removed: a row for the request, then one for each artifact that they were removed from.

    Args:
        request: its `subjects`, and of what was `removed`, of whose ids were `renamed` and of the `models` that saw them each
            `profile`, `name`, `fingerprint` and `rows`.
    """
    people = {"patients": [pseudonym(folder, subject_id) for subject_id in request["subjects"]]}
    entry = Entry(event="forgotten", user=os_user(), code=code_version(), details=people)
    models = [f"{model['profile']}/{model['name']} {model['fingerprint']}" for model in request["models"]]
    whole = replace(entry, details={**people, "models_that_saw_them": models})
    touched = [
        replace(
            entry,
            profile=one["profile"],
            artifact=one["name"],
            asset=one["name"].split("/")[0],
            fingerprint=one["fingerprint"],
            details={**people, "became": became, "rows": one["rows"]},
        )
        for became in ("removed", "renamed")
        for one in request[became]
    ]
    attempts.record(folder, [whole, *touched], audit_key())


def record_expired(folder: Path, profile: str, details: Mapping[str, Any]) -> None:
    """Record that retention removes a file or a folder.

    Args:
        details: `rule`, `path` under the home, `age_days`, `num_bytes`.
    """
    step = {name: held for name, held in running_step().items() if name in ("run_id", "launched_by")}
    entry = Entry(event="expired", user=os_user(), profile=profile, code=code_version(), details=details, **step)
    attempts.record(folder, [entry], audit_key())


def audit_folder(home: Path) -> Path:
    return home / "audit"


def audit_key() -> bytes | None:
    """The key that rows are sealed with, from the file that the environment names; None: they are not sealed."""
    path = os.environ.get(KEY_VARIABLE)
    return read_key(Path(path)) if path else None


def running_step() -> dict[str, Any]:
    """Asset, partition, run, and who or what launched it, of the step of Dagster that calls this; empty outside one."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return {}
    assets = context.selected_asset_keys if context.has_assets_def else set()
    # A job's partition is the tag of all its steps; not all of their assets have partitions.
    is_partitioned = context.has_assets_def and context.assets_def.partitions_def is not None
    tags = {name: context.run.tags[name] for name in LAUNCH_TAGS if name in context.run.tags}
    return {
        "asset": next(iter(assets)).to_user_string() if len(assets) == 1 else None,
        "partition": context.partition_key if is_partitioned and context.has_partition_key else None,
        "run_id": context.run_id,
        "launched_by": {"job": context.run.job_name, **tags},
    }


@functools.cache
def code_version() -> dict[str, Any]:
    """The package's version; of a checkout also the commit, and whether files of the project differ from it."""
    found: dict[str, Any] = {"version": version("lang1-assets")}
    top = _git("rev-parse", "--show-toplevel")
    # Not the commit of some other repository that an installation happens to lie in.
    if top is not None and Path(top) == SOURCE_FOLDER:
        changes = _git("status", "--porcelain", "--", "lang1_assets", "dbt_notes")
        found |= {"commit": _git("rev-parse", "HEAD"), "changed": bool(changes)}
    return found


def anchors_in_dagster(instance: dg.DagsterInstance, home: Path) -> list[Anchor]:
    """The links that materializations keep in Dagster's database, of artifacts under this home alone."""
    return [
        anchor
        for key in instance.get_asset_keys()
        for event in _materializations(instance, key)
        if (anchor := _anchor_of(event, home)) is not None
    ]


def _materializations(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[dg.EventLogRecord]:
    cursor, has_more = None, True
    while has_more:
        page = instance.fetch_materializations(key, limit=EVENTS_A_PAGE, cursor=cursor)
        yield from page.records
        cursor, has_more = page.cursor, page.has_more


def _anchor_of(event: dg.EventLogRecord, home: Path) -> Anchor | None:
    made = event.asset_materialization
    if made is None or AUDIT_METADATA not in made.metadata or "path" not in made.metadata:
        return None
    if not Path(str(made.metadata["path"].value)).is_relative_to(home):
        return None
    sequence, _, digest = str(made.metadata[AUDIT_METADATA].value).partition(":")
    where = f"Dagster (asset {made.asset_key.to_user_string()}, run {event.run_id})"
    return Anchor(link=Link(sequence=int(sequence), hash=digest), where=where)


def _ended_badly(entry: Entry, error: BaseException) -> Entry:
    """Failed, or stopped from outside; with the error's type and not its words, which may hold a patient's."""
    event: Any = "failed" if isinstance(error, Exception) else "interrupted"
    return replace(entry, event=event, details={"error": type(error).__name__})


def _git(*words: str) -> str | None:
    try:
        command = ["git", "-C", str(SOURCE_FOLDER), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
