"""What `make` calls: the demo, the corpus half, the services, a new month; and two evaluations side by side.

Everything runs through Dagster; this only prepares its home, starts a job, and says where to look afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from lang1_assets.cli.alerts import send_test_alert
from lang1_assets.cli.audit import add_audit_command
from lang1_assets.cli.evaluations import compare_two, verify_numbers
from lang1_assets.cli.privacy import forget_people, retain
from lang1_assets.cli.runs import run_cohorts, run_corpus, run_demo, run_study, score_models
from lang1_assets.cli.serve import add_options, run_serve
from lang1_assets.cli.services import run_ui, write_new_month
from lang1_assets.ops.training.openmp import SPIN_SHORTLY
from lang1_assets.settings import SettingsError, lang1_home, load_settings

DAGSTER_CONFIG = Path(__file__).parents[2] / "infra" / "dagster.yaml"


def main() -> None:
    # Before anything loads torch: this process scores, and what it starts trains, beside whatever else the machine does.
    os.environ.update({name: os.environ.get(name, value) for name, value in SPIN_SHORTLY.items()})
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
        ("serve", run_serve, "Dagster, MLflow and Dask over PostgreSQL as services that are kept running"),
        ("test-alert", send_test_alert, "send a message to Slack and e-mail, as far as they are set up"),
        ("new-month", write_new_month, "write more months of the embedded hospital into the landing folder"),
        ("score", score_models, "score models of the profile's `models`, then make the leaderboard"),
        ("compare", compare_two, "two evaluations side by side: what differs, paired tests, note by note"),
        ("verify", verify_numbers, "make the numbers of an evaluation again from its probabilities"),
        (
            "forget",
            forget_people,
            "take people out of everything made from their records, and mark the models that saw them",
        ),
        ("retention", retain, "list what is older than the profile's `retention` allows, or remove it"),
    ):
        command = commands.add_parser(name, help=words)
        command.set_defaults(command=function)
        if name in ("demo", "corpus"):
            command.add_argument("--variant", help="a variant of the profile; default: its first")
        if name == "serve":
            add_options(command)
        if name == "new-month":
            command.add_argument("months", nargs="+", metavar="month", help="YYYY-MM, 2025-01 or later")
        if name == "score":
            command.add_argument("models", nargs="+", help="names from the profile's `models`")
        for one in {"compare": ("first", "second"), "verify": ("evaluation",)}.get(name, ()):
            command.add_argument(one, help="a folder, or a name such as zero_shot_evaluation/VARIANT")
        if name == "forget":
            command.add_argument("subjects", nargs="*", help="subject ids; none to complete what was interrupted")
            command.add_argument("--file", help="a file with one id a line: ids on a command line are seen by others")
            command.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
            command.add_argument("--absent", action="store_true", help="also people of whom nothing here has a row")
        if name == "retention":
            command.add_argument("--apply", action="store_true", help="remove it; without this it is only listed")
        if name == "compare":
            command.add_argument(
                "--notes", type=int, default=0, help="also the notes that differ most, this many a task"
            )
    add_audit_command(commands)
    return parser.parse_args()


def prepare_home() -> Path:
    """Make `$LANG1_HOME` and Dagster's home in it; where new, only the owner may look inside: notes will lie there."""
    home = lang1_home()
    os.environ["LANG1_HOME"] = str(home)
    # Whatever is written from here on, by this process or one that it starts, is its owner's alone.
    os.umask(0o077)
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
