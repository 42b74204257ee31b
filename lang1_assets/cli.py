"""What `make` calls: the demo, the corpus half, the services, a new month; and two evaluations side by side.

Everything runs through Dagster; this only prepares its home, starts a job, and says where to look afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lang1_assets.settings import Settings, SettingsError, lang1_home, load_settings

if TYPE_CHECKING:
    import dagster as dg

    from lang1_assets.ops.side_by_side import Compared, LeftBehind

DAGSTER_CONFIG = Path(__file__).parent.parent / "infra" / "dagster.yaml"
DAGSTER_PORT, MLFLOW_PORT = 3000, 5000
PID_TAG = "lang1/pid"


def main() -> None:
    # Before anything loads torch: this process scores, and what it starts trains, beside whatever else the machine does.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    arguments = parse_arguments()
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    prepare_home()
    sys.exit(arguments.command(settings, arguments))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lang1", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function, words in (
        ("demo", run_demo, "run the whole path for one model variant"),
        ("corpus", run_corpus, "run the corpus half: notes and web text to a pretrained model"),
        ("cohorts", run_cohorts, "run the hospital's tables to the labelled notes of every task"),
        ("study", run_study, "finetune, evaluate and judge everything that the profile's `study` asks for"),
        ("ui", run_ui, "open Dagster and MLflow on the same state"),
        ("new-month", write_new_month, "write one more month of the embedded hospital into the landing folder"),
        ("score", score_models, "score models of the profile's `models`, then make the leaderboard"),
        ("compare", compare_two, "two evaluations side by side: what differs, paired tests, note by note"),
        ("verify", verify_numbers, "make the numbers of an evaluation again from its probabilities"),
    ):
        command = commands.add_parser(name, help=words)
        command.set_defaults(command=function)
        if name in ("demo", "corpus"):
            command.add_argument("--variant", help="a variant of the profile; default: its first")
        if name == "new-month":
            command.add_argument("month", help="YYYY-MM, 2025-01 or later")
        if name == "score":
            command.add_argument("models", nargs="+", help="names from the profile's `models`")
        for one in {"compare": ("first", "second"), "verify": ("evaluation",)}.get(name, ()):
            command.add_argument(one, help="a folder, or a name such as zero_shot_evaluation/VARIANT")
        if name == "compare":
            command.add_argument(
                "--notes", type=int, default=0, help="also the notes that differ most, this many a task"
            )
    return parser.parse_args()


def prepare_home() -> Path:
    """Make `$LANG1_HOME` and Dagster's home in it; where new, only the owner may look inside: notes will lie there."""
    home = lang1_home()
    os.environ["LANG1_HOME"] = str(home)
    dagster_home = Path(os.environ.setdefault("DAGSTER_HOME", str(home / "dagster")))
    try:
        # A folder that was there before keeps its permissions: others may need it.
        if not home.exists():
            home.mkdir(parents=True, mode=0o700)
        dagster_home.mkdir(parents=True, exist_ok=True)
        if not (dagster_home / "dagster.yaml").exists():
            shutil.copyfile(DAGSTER_CONFIG, dagster_home / "dagster.yaml")
    except OSError as error:
        sys.exit(f"LANG1_HOME {home}: {error.strerror} ({error.filename}); set it to a folder that can be written")
    return home


def run_demo(settings: Settings, arguments: argparse.Namespace) -> int:
    return run_job(settings, "demo", arguments.variant or settings.main_variant, show_results=True)


def run_corpus(settings: Settings, arguments: argparse.Namespace) -> int:
    return run_job(settings, "corpus", arguments.variant or settings.main_variant, show_results=False)


def run_cohorts(settings: Settings, arguments: argparse.Namespace) -> int:
    return run_job(settings, "cohorts", settings.main_variant, show_results=False)


def run_study(settings: Settings, arguments: argparse.Namespace) -> int:
    import dagster as dg

    from lang1_assets.agenda import run_agenda

    print(f"profile {settings.name}; everything is written to {lang1_home()}", flush=True)
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        failed = run_agenda(settings, instance, {PID_TAG: str(os.getpid())})
    minutes = (time.monotonic() - started) / 60
    if failed:
        print(
            f"\nFAILED: {'; '.join(entry.title for entry in failed)}. Everything else was made in {minutes:.1f} minutes."
        )
        print("Run the same command again to go on from there: what is finished is reused.")
        return 1
    print(f"\nDone in {minutes:.1f} minutes.")
    print_results(settings)
    print("Open Dagster (http://127.0.0.1:3000) and MLflow (http://127.0.0.1:5000) with: make ui")
    return 0


def score_models(settings: Settings, arguments: argparse.Namespace) -> int:
    import dagster as dg

    from lang1_assets import definitions
    from lang1_assets.leaderboard import asset_of

    assets = asset_of(settings)
    unknown = [name for name in arguments.models if name not in assets]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: not in the profile's models; it has: {', '.join(assets) or 'none'}")
    job = definitions.defs.resolve_implicit_global_asset_job_def()
    wanted: list[tuple[str, str | None]] = [*((assets[name], name) for name in arguments.models), ("leaderboard", None)]
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        for asset, partition in wanted:
            result = job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(asset)],
                partition_key=partition,
                run_config={"loggers": {"console": {}}},
                tags={PID_TAG: str(os.getpid())},
                raise_on_error=False,
            )
            if not result.success:
                return 1
    print("The leaderboard: in Dagster (make ui), asset 'leaderboard'; in the report after 'make demo'")
    return 0


def run_job(settings: Settings, job: str, variant: str, show_results: bool) -> int:
    import dagster as dg

    from lang1_assets import definitions

    if variant not in settings.variants:
        sys.exit(f"variant '{variant}' is not in the profile; it has: {', '.join(settings.variants)}")
    print(f"profile {settings.name}, variant {variant}; everything is written to {lang1_home()}", flush=True)
    started = time.monotonic()
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        made = getattr(definitions, f"{job}_job")
        result = dg.execute_job(
            dg.reconstructable(made),
            instance,
            # A job of unpartitioned assets takes no notice of it.
            tags={"dagster/partition": variant, PID_TAG: str(os.getpid())},
            run_config=definitions.FROM_THE_TERMINAL,
            raise_on_error=False,
        )
        succeeded = result.success
        failed = [event.step_key for event in result.all_events if event.is_step_failure]
    minutes = (time.monotonic() - started) / 60
    if not succeeded:
        print(f"\nFAILED after {minutes:.1f} minutes in {', '.join(map(str, failed)) or 'the run itself'}; see above.")
        print("Run the same command again to go on from there: what is finished is reused.")
        return 1
    print(f"\nDone in {minutes:.1f} minutes.")
    if show_results:
        print_results(settings)
    print("Open Dagster (http://127.0.0.1:3000) and MLflow (http://127.0.0.1:5000) with: make ui")
    return 0


def close_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs that a killed process left behind as failed, and free their place in the accelerator pool.

    Of whichever job: a corpus run would wait forever for the place of a demo.
    """
    import dagster as dg
    import psutil

    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        pid = run.tags.get(PID_TAG)
        if pid is not None and not psutil.pid_exists(int(pid)):
            instance.report_run_failed(run, "its process was killed; the next run goes on from what it had finished")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def print_results(settings: Settings) -> None:
    from lang1_assets.ops.results import read_results, read_switched_off, results_table

    latest = lang1_home() / "reports" / "latest"
    path = latest / "results.json"
    print(results_table(read_results(path), settings.cohorts.headline_split, read_switched_off(path)))
    if settings.is_synthetic:
        print("Synthetic data: the embedded hospital. No number here is about real patients.")
    print(f"\nReport:  {latest / 'index.html'}")


def run_ui(settings: Settings, arguments: argparse.Namespace) -> int:
    """Dagster and MLflow until Ctrl-C; both end together."""
    home = lang1_home()
    binaries = Path(sys.executable).parent
    mlflow = [
        str(binaries / "mlflow"),
        "server",
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
        "--default-artifact-root",
        str(home / "mlflow" / "artifacts"),
        "--host=127.0.0.1",
        f"--port={MLFLOW_PORT}",
        "--workers=1",
    ]
    dagster = [str(binaries / "dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(DAGSTER_PORT)]
    (home / "mlflow").mkdir(exist_ok=True)
    # Set before they start: services of a shell's background job would inherit that SIGINT is ignored, and Dagster then
    # takes SIGTERM for it and never ends.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes = [subprocess.Popen(command, start_new_session=True) for command in (mlflow, dagster)]
    print(f"Dagster: http://127.0.0.1:{DAGSTER_PORT}   MLflow: http://127.0.0.1:{MLFLOW_PORT}   (Ctrl-C ends both)")
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print("ending")
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
    return max(process.wait() for process in processes) and 1


def write_new_month(settings: Settings, arguments: argparse.Namespace) -> int:
    from lang1_assets.operate import COMPLETE_MARKER, MONTH, landing_folder
    from lang1_assets.ops.hospital import HospitalConfig, write_month_export

    if not settings.is_synthetic:
        sys.exit(f"profile '{settings.name}' reads a hospital's own exports; a synthetic month does not belong there")
    if not MONTH.fullmatch(arguments.month) or arguments.month < "2025-01":
        sys.exit(f"month '{arguments.month}': expected YYYY-MM from 2025-01 on, such as 2025-02")
    year, month = map(int, arguments.month.split("-"))
    folder = landing_folder(settings) / arguments.month
    beside = folder.with_name(f".{arguments.month}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    config = HospitalConfig(
        num_encounters=settings.source.num_encounters, seed=settings.seed, dirt_rate=settings.source.dirt_rate
    )
    write_month_export(beside, config, year, month)
    (beside / COMPLETE_MARKER).touch()
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    print(f"{folder}: one synthetic month; the sensor 'landing' will notice it")
    return 0


def compare_two(settings: Settings, arguments: argparse.Namespace) -> int:
    from lang1_assets.ops import side_by_side

    first, second = (evaluation_named(settings, name) for name in (arguments.first, arguments.second))
    print(f"first:  {first.title}\nsecond: {second.title}\n\nMade differently:")
    print("\n".join(f"  {line}" for line in side_by_side.what_differs(first.record, second.record)) or "  nothing")
    print("\nAUROC, the second less the first on the same notes; intervals from resampled patients")
    for row in side_by_side.compare(first, second, settings.evaluate.num_resamples, settings.seed):
        print(f"  {row.task}, {row.split}: {difference_line(row)}")
        if arguments.notes:
            print("    note, label, probability of that label by each:")
            for note in side_by_side.disagreements(first, second, row.task, row.split).head(arguments.notes).rows():
                print("    {}, {}, {:.3f}, {:.3f}".format(*note))
    return 0


def difference_line(row: Compared) -> str:
    test = row.auroc
    if test is None:
        return str(row.problem)
    delong = "" if row.delong_p_value is None else f", DeLong p {row.delong_p_value:.3f}"
    return (
        f"{test.first:.3f}, {test.second:.3f}, difference {test.value:+.3f} ({test.low:+.3f} to {test.high:+.3f}), "
        f"p {test.p_value:.3f}{delong}; {row.common} notes, {row.only_first} and {row.only_second} of one alone"
    )


def verify_numbers(settings: Settings, arguments: argparse.Namespace) -> int:
    from lang1_assets.ops.side_by_side import changed_numbers

    evaluation = evaluation_named(settings, arguments.evaluation)
    changed = changed_numbers(evaluation)
    print(
        "\n".join(changed) or f"{len(evaluation.rows)} numbers of {evaluation.title}: all follow from the probabilities"
    )
    return 1 if changed else 0


def evaluation_named(settings: Settings, name: str) -> LeftBehind:
    from lang1_assets.ops.side_by_side import EvaluationError, read_evaluation
    from lang1_assets.ops.tasks import use_own_tasks

    use_own_tasks(settings.own_tasks.values())
    folder = Path(name)
    try:
        return read_evaluation(folder if folder.is_dir() else lang1_home() / "artifacts" / settings.name / name)
    except EvaluationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
