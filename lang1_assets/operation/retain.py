"""Retention: what is older than the profile's `retention` allows is listed, and removed where that is asked for."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from lang1_assets.ops.forgetting.subjects import ForgettingError
from lang1_assets.ops.retention import Expired, expired, line_of, remove_expired
from lang1_assets.resources import audit
from lang1_assets.settings import Settings, lang1_home

JOB = "apply_retention"


class RetentionConfig(dg.Config):
    dry_run: bool = True
    """List what is too old, and remove nothing."""


def build_jobs(settings: Settings) -> list[dg.JobDefinition]:
    return [retention_job(settings)]


def build_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """None where everything is kept: a schedule that removes is absent, not merely stopped."""
    if not settings.retention.days:
        return []
    config: dict[str, Any] = {"ops": {"retain": {"config": {"dry_run": False}}}}
    return [
        dg.ScheduleDefinition(
            name="nightly_retention",
            job_name=JOB,
            cron_schedule="30 4 * * *",
            run_config=config,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Removes what the profile's `retention` no longer allows, and lists it.",
        )
    ]


def retention_job(settings: Settings) -> dg.JobDefinition:
    @dg.op(name="retain", description="Lists what is too old, and removes it where `dry_run` is false.")
    def _retain(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
        try:
            apply_retention(settings, datetime.now(UTC), dry_run=config.dry_run, say=context.log.info)
        except ForgettingError as error:
            raise dg.Failure(str(error), allow_retries=False) from None

    @dg.job(name=JOB, description="What is older than the profile's `retention` allows; by itself it only lists.")
    def _apply_retention() -> None:
        _retain()

    return _apply_retention


def apply_retention(settings: Settings, now: datetime, *, dry_run: bool, say: Callable[[str], None]) -> int:
    """List what is too old, and remove it; the number of files and folders."""
    home = lang1_home()
    found = expired(home, settings.name, settings.operate.recipes, settings.retention.days, now)
    if dry_run:
        for one in found:
            say(line_of(home, one))
    else:
        remove_expired(found, partial(_write_down, home, settings.name, say))
    say(f"{len(found)} {'would be removed; nothing was changed' if dry_run else 'removed'}")
    return len(found)


def _write_down(home: Path, profile: str, say: Callable[[str], None], one: Expired) -> None:
    audit.record_expired(audit.audit_folder(home), profile, {**vars(one), "path": str(one.path.relative_to(home))})
    say(line_of(home, one))
