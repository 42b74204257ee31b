"""Jobs started from a terminal: the demo, its parts, the studies, models from elsewhere."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from lang1_assets.settings import Settings, lang1_home

if TYPE_CHECKING:
    import dagster as dg

GO_ON = "Run the same command again to go on from there: what is finished is reused."


def run_demo(settings: Settings, arguments: argparse.Namespace) -> int:
    code = run_job(settings, "demo", arguments.variant or settings.main_variant, show_results=True)
    return code or put_in_service(settings)


def put_in_service(settings: Settings) -> int:
    """Decide which model serves, for each recipe that was finetuned: its partitions are no variants, as the demo's are."""
    import dagster as dg

    from lang1_assets import definitions
    from lang1_assets.cli.agenda import was_interrupted

    job = definitions.defs.resolve_implicit_global_asset_job_def()
    failed = []
    with dg.DagsterInstance.get() as instance:
        for recipe in [recipe for recipe in settings.operate.recipes if recipe in settings.finetune.recipes]:
            result = materialize(job, instance, "model_in_service", recipe)
            if was_interrupted(result):
                return stopped()
            if not result.success:
                failed.append(f"model_in_service, {recipe}")
    return say_failed(settings, "demo", failed) if failed else 0


def run_corpus(settings: Settings, arguments: argparse.Namespace) -> int:
    return run_job(settings, "corpus", arguments.variant or settings.main_variant, show_results=False)


def run_cohorts(settings: Settings, arguments: argparse.Namespace) -> int:
    return run_job(settings, "cohorts", settings.main_variant, show_results=False)


def run_study(settings: Settings, arguments: argparse.Namespace) -> int:
    import dagster as dg

    from lang1_assets.cli.agenda import run_agenda
    from lang1_assets.cli.lanes import LaneLostError
    from lang1_assets.operation.dead_runs import close_dead_runs, find_dead_runs

    print(f"profile {settings.name}; everything is written to {lang1_home()}", flush=True)
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance, find_dead_runs(instance, print), print)
        try:
            failed = run_agenda(settings, instance)
        except KeyboardInterrupt:
            return stopped()
        except LaneLostError as error:
            return say_failed(settings, "study", [str(error)])
    minutes = (time.monotonic() - started) / 60
    if failed:
        print(
            f"\nFAILED: {'; '.join(entry.title for entry in failed)}. Everything else was made in {minutes:.1f} minutes."
        )
        print(GO_ON)
        tell(settings, "study", [entry.title for entry in failed])
        return 1
    print(f"\nDone in {minutes:.1f} minutes.")
    print_results(settings)
    print("Open Dagster (http://127.0.0.1:3000) and MLflow (http://127.0.0.1:5000) with: make ui")
    return 0


def score_models(settings: Settings, arguments: argparse.Namespace) -> int:
    import dagster as dg

    from lang1_assets import definitions
    from lang1_assets.cli.agenda import was_interrupted
    from lang1_assets.evaluation.leaderboard import asset_of
    from lang1_assets.operation.dead_runs import close_dead_runs, find_dead_runs

    assets = asset_of(settings)
    unknown = [name for name in arguments.models if name not in assets]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not in the profile's models; it has: {', '.join(assets) or 'none'}")
    job = definitions.defs.resolve_implicit_global_asset_job_def()
    wanted: list[tuple[str, str | None]] = [*((assets[name], name) for name in arguments.models), ("leaderboard", None)]
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance, find_dead_runs(instance, print), print)
        for asset, partition in wanted:
            result = materialize(job, instance, asset, partition)
            if was_interrupted(result):
                return stopped()
            if not result.success:
                return say_failed(settings, "score", [asset if partition is None else f"{asset}, {partition}"])
    print("The leaderboard: in Dagster (make ui), asset 'leaderboard'; in the report after 'make demo'")
    return 0


def run_job(settings: Settings, job: str, variant: str, show_results: bool) -> int:
    import dagster as dg

    from lang1_assets import definitions
    from lang1_assets.operation.dead_runs import close_dead_runs, find_dead_runs, process_tag

    if variant not in settings.variants:
        sys.exit(f"variant '{variant}' is not in the profile; it has: {', '.join(settings.variants)}")
    print(f"profile {settings.name}, variant {variant}; everything is written to {lang1_home()}", flush=True)
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance, find_dead_runs(instance, print), print)
        made = getattr(definitions, f"{job}_job")
        result = dg.execute_job(
            dg.reconstructable(made),
            instance,
            # A job of unpartitioned assets takes no notice of it.
            tags={"dagster/partition": variant, **process_tag()},
            run_config=definitions.FROM_THE_TERMINAL,
            raise_on_error=False,
        )
        succeeded = result.success
        failed = [event.step_key for event in result.all_events if event.is_step_failure]
        interrupted = any(is_interruption(event) for event in result.all_events)
    minutes = (time.monotonic() - started) / 60
    if not succeeded:
        print(f"\nFAILED after {minutes:.1f} minutes in {', '.join(map(str, failed)) or 'the run itself'}; see above.")
        print(GO_ON)
        if not interrupted:
            tell(settings, f"{job} {variant}", sorted({str(step) for step in failed}))
        return 1
    print(f"\nDone in {minutes:.1f} minutes.")
    if show_results:
        print_results(settings)
    print("Open Dagster (http://127.0.0.1:3000) and MLflow (http://127.0.0.1:5000) with: make ui")
    return 0


def is_interruption(event: dg.DagsterEvent) -> bool:
    """Whether a run ended by Ctrl-C or SIGTERM."""
    reason = getattr(event.event_specific_data, "failure_reason", None)
    return reason is not None and reason.value == "UNEXPECTED_TERMINATION"


def stopped() -> int:
    """By a person, whom nobody has to tell."""
    print(f"\nStopped. {GO_ON}")
    return 130


def say_failed(settings: Settings, what: str, failed: list[str]) -> int:
    print(f"\nFAILED: {'; '.join(failed)}.")
    print(GO_ON)
    tell(settings, what, failed)
    return 1


def tell(settings: Settings, what: str, failed: list[str]) -> None:
    """To Slack and e-mail, where they are set up: whoever started it may have gone home."""
    from lang1_assets.resources.alerts import Alerts

    alerts = Alerts(profile=settings.name, is_synthetic=settings.is_synthetic)
    step = "Next: look at the terminal, or at Dagster's runs; the same command again goes on from what was finished"
    alerts.tell(f"run failed: {what}", [f"failed: {name}" for name in failed[:20]] + [step], print)


def print_results(settings: Settings) -> None:
    from lang1_assets.ops.results import read_results, read_switched_off, results_table

    latest = lang1_home() / "reports" / "latest"
    path = latest / "results.json"
    print(results_table(read_results(path), settings.cohorts.headline_split, read_switched_off(path)))
    if settings.is_synthetic:
        print("Synthetic data: the embedded hospital. No number here is about real patients.")
    print(f"\nReport:  {latest / 'index.html'}")


def materialize(
    job: dg.JobDefinition, instance: dg.DagsterInstance, asset: str, partition: str | None
) -> dg.ExecuteInProcessResult:
    """One asset, in this process; what fails is in the result."""
    import dagster as dg

    from lang1_assets.operation.dead_runs import process_tag

    return job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset)],
        partition_key=partition,
        run_config={"loggers": {"console": {}}},
        tags=process_tag(),
        raise_on_error=False,
    )
