"""People taken out of what was made from their records; what is too old, removed."""

from __future__ import annotations

import argparse
import sys

from lang1_assets.settings import Settings


def forget_people(settings: Settings, arguments: argparse.Namespace) -> int:
    import dagster as dg

    from lang1_assets.definitions import default_resources
    from lang1_assets.operation import forget
    from lang1_assets.operation.dead_runs import close_dead_runs, find_dead_runs

    try:
        subjects = [*arguments.subjects, *forget.ids_in(arguments.file)]
        if arguments.dry_run:
            forget.preview(subjects, print)
            return 0
        refuse_beside_services()
        with dg.DagsterInstance.get() as instance:
            close_dead_runs(instance, find_dead_runs(instance, print), print)
            forget.require_no_run(instance)
            tracking = default_resources(settings)["tracking"]
            forget.forget(settings, tracking, subjects, absent_too=arguments.absent, say=print)
    except forget.ForgettingError as error:
        sys.exit(str(error))
    return 0


def refuse_beside_services() -> None:
    """The services keep runs of their own, of which this process knows nothing."""
    from lang1_assets.operation.forget import JOB
    from lang1_assets.services.lineup import Places
    from lang1_assets.services.supervisor import supervisor_of
    from lang1_assets.settings import lang1_home

    if supervisor_of(Places(home=lang1_home()).lock) is not None:
        sys.exit(f"the services of this home are running: start the job '{JOB}' in Dagster, or end them first")


def retain(settings: Settings, arguments: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from lang1_assets.operation.retain import apply_retention
    from lang1_assets.ops.forgetting.subjects import ForgettingError

    if not settings.retention.days:
        print(f"profile {settings.name} keeps everything: its `retention` sets no number of days")
        return 0
    try:
        apply_retention(settings, datetime.now(UTC), dry_run=not arguments.apply, say=print)
    except ForgettingError as error:
        sys.exit(str(error))
    return 0
