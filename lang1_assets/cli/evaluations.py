"""Two evaluations side by side, and the numbers of one made again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lang1_assets.settings import Settings, lang1_home

if TYPE_CHECKING:
    from lang1_assets.ops.side_by_side import Compared, LeftBehind


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
