"""`python -m tests.faults [--kills 50] [--a-run 10] [--target TARGET ...] [--seed 1]`: makes the table of docs/reliability.md.

Goes on where it stopped: each trial is a line of `bench/results/faults.jsonl`; `--from-nothing` begins again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import tempfile
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import date
from pathlib import Path

from tests.faults.clock import make_clock
from tests.faults.outcome import Undisturbed
from tests.faults.targets import CLOCK, NOTHING, TARGETS
from tests.faults.trial import Trial, artifacts_of, judge_result, run_once
from tests.serving import Served, serving

RESULTS = Path(__file__).parents[2] / "bench" / "results" / "faults.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
PROFILE = Path(__file__).parents[1] / "profiles" / "faults.yaml"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def main() -> None:
    arguments = parse_arguments()
    # Ended like by Ctrl-C: the services end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.from_nothing:
        RESULTS.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, services(Path(folder), arguments.target) as served:
        reference = undisturbed(served, Path(folder))
        for target in arguments.target:
            while (kills := kills_so_far(target)) < arguments.kills:
                rng = random.Random(f"{arguments.seed} {target} {kills}")
                most = min(arguments.a_run, arguments.kills - kills)
                trial = run_once(served, target, most, rng)
                judge_result(served, trial, reference)
                keep(trial)
                print(f"{target}: {kills + trial.kills} of {arguments.kills} kills, {told(trial)}", flush=True)
                write_page()


def services(folder: Path, targets: list[str]) -> AbstractContextManager[Served]:
    """Going by a clock of their own where that is to jump."""
    return serving(folder, PROFILE, make_clock(folder) if CLOCK in targets else {})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each kind of process")
    parser.add_argument("--a-run", type=int, default=10, help="at most this many in one run of the whole path")
    parser.add_argument("--target", nargs="+", choices=(*TARGETS, CLOCK), default=list(TARGETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from-nothing", action="store_true", help="forget what earlier calls measured")
    return parser.parse_args()


def undisturbed(served, folder: Path) -> Undisturbed:  # type: ignore[no-untyped-def]
    """The reference, from two runs that nobody disturbs."""
    copies = []
    for number in range(2):
        trial = run_once(served, None, 0, random.Random(0))
        assert trial.is_as_undisturbed, f"without a fault: {told(trial)}"
        keep(trial)
        copies.append(folder / f"undisturbed-{number}")
        shutil.copytree(artifacts_of(served), copies[-1], symlinks=True)
    reference = Undisturbed.of(*copies)
    print(f"undisturbed: {trial.seconds:.0f} s, {len(reference.files)} files to compare", flush=True)
    return reference


def keep(trial: Trial) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps({"date": date.today().isoformat(), **asdict(trial)}) + "\n")


def kept() -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def kills_so_far(target: str) -> int:
    return sum(row["kills"] for row in kept() if row["target"] == target)


def told(trial: Trial) -> str:
    wrong = [*trial.lost, *trial.twice, *trial.left]
    return (
        f"{trial.kills} kills, {trial.attempts} attempts ({trial.by_hand} by hand), {trial.seconds:.0f} s: "
        f"{'; '.join(wrong) or 'as undisturbed'}"
    )


def write_page() -> None:
    rows = kept()
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    targets = (NOTHING, *TARGETS, CLOCK)
    lines = [line_of(target, [row for row in rows if row["target"] == target]) for target in targets]
    table = "\n".join(
        [
            f"{rows[-1]['date']}, the whole path on the profile `faults`, synthetic.",
            "",
            "| killed with -9, or set | times | runs of the whole path | lost | twice | left behind | results equal "
            "| started again by hand | median seconds |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
            *filter(None, lines),
        ]
    )
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def line_of(target: str, rows: list[dict]) -> str:  # type: ignore[type-arg]
    if not rows:
        return ""
    counts = [sum(len(row[kind]) for row in rows) for kind in ("lost", "twice", "left")]
    equal = sum(not row["lost"] for row in rows)
    by_hand, seconds = sum(row["by_hand"] for row in rows), statistics.median(row["seconds"] for row in rows)
    kills = sum(row["kills"] for row in rows)
    cells = [target, kills, len(rows), *counts, f"{equal} of {len(rows)}", by_hand, f"{seconds:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
