"""Zero-shot against finetuned, small against large (Fig. 2a, 2b)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import Base, Cell, Sought, Studied, asked_about, best_of
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import (
    ABOVE,
    BELOW,
    DOES_NOT_HOLD,
    Lacking,
    Question,
    Weighed,
    least,
    less,
    shared,
    weighed_sum,
)
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE, auroc_point, sought_point, title_of, titled
from lang1_assets.ops.study.roles import finetuned_generalists_of, generalist_of

BEST = "best zero-shot"
ZERO_SHOT_ASSETS = ("zero_shot_evaluation", "outside_evaluation", "served_evaluation")
BEST_RULE = "best: the highest AUROC on these notes, of the models that were asked about at least half as many as the most-asked"
UNEQUAL = (
    "Classical baselines learn from every labelled note, and those on text read it whole; a language model reads as much of a "
    "note as its context takes, and as many notes as its steps take."
)
ALL_LABELS = "learned from every labelled note"


def zero_shot_figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 2a: every model as it is, on every task."""
    points = [
        auroc_point(cell, task, studied.split, series=cell.model, x=title_of(task))
        for cell in studied.zero_shots
        for task in studied.tasks
    ]
    return (
        Figure(
            name="zero_shot_comparison",
            paper="Fig. 2a",
            title="Zero-shot models on the tasks",
            caption=f"AUROC on the {studied.test_title()} without finetuning; bars are 95 % intervals.",
            kind="bars",
            x_title="task",
            y_title="AUROC",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def finetuned_figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 2b: the best zero-shot model of each task, the classical baselines, and every finetuned variant."""
    points = [point for task in studied.tasks for point in task_points(studied, task)]
    return (
        Figure(
            name="finetuned_comparison",
            paper="Fig. 2b",
            title="Finetuned models on the tasks",
            caption=f"AUROC on the {studied.test_title()}; bars are 95 % intervals. "
            f"{BEST_RULE[0].upper()}{BEST_RULE[1:]}. {UNEQUAL}",
            kind="bars",
            x_title="task",
            y_title="AUROC",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def task_points(studied: Studied, task: str) -> Iterator[Point]:
    split, x = studied.split, title_of(task)
    best = best_zero_shot(studied, task)
    point = sought_point(best, task, split, series=BEST, x=x)
    yield point if best.cell is None else replace(point, note=best.cell.model)
    for cell in studied.of("baseline"):
        point = auroc_point(cell, task, split, series=cell.model, x=x)
        # Why there is no value stays.
        yield point if point.note else replace(point, note=ALL_LABELS)
    for cell in finetuned_cells(studied):
        if cell.trained_on in (JOINT, task):
            kind = JOINT if cell.trained_on == JOINT else "single"
            yield auroc_point(cell, task, split, series=f"{cell.model}, {kind}", x=x)


def finetuned_cells(studied: Studied) -> list[Cell]:
    return [cell for cell in studied.of("variant") if cell.trained_on is not None]


def best_zero_shot(studied: Studied, task: str) -> Sought:
    return Sought(name="zero_shot_evaluation", cell=best_of(studied.zero_shots, task, studied.split))


def against_best(studied: Studied, zero_shot_first: bool) -> list[Weighed]:
    absent = [name for name in studied.missing if asset_of(name) in ZERO_SHOT_ASSETS]
    return [
        against_each(studied, task, studied.zero_shots, absent, "zero_shot_evaluation", zero_shot_first)
        for task in studied.tasks
    ]


def asset_of(artifact: str) -> str:
    return artifact.split("/")[0]


def against_each(
    studied: Studied, task: str, others: Sequence[Cell], absent: Sequence[str], wanted: str, others_first: bool
) -> Weighed:
    """Ours, finetuned, less the best of others, whichever that is; the other way round with `others_first`.

    Args:
        absent: what belongs to the others and was not evaluated. The best may be among them, so the claim cannot hold without
            them; where it fails of another one already, it fails.
    """
    ours, split, level = studied.finetuned(studied.ours, task), studied.split, shared(len(studied.tasks))
    rivals = [Sought(name=cell.source, cell=cell) for cell in asked_about(others, task, split)]
    if not rivals:
        gone = tuple(absent) or (wanted,)
        return Lacking(about=title_of(task), why=f"{', '.join(gone)} was not evaluated", absent=gone)
    best = best_of(others, task, split)
    about = title_of(task) + (f" ({best.model})" if best else "")
    if others_first:
        found = least(studied, about, [less(rival, ours, task, split) for rival in rivals], BELOW, level, sign=-1)
    else:
        found = least(studied, about, [less(ours, rival, task, split) for rival in rivals], ABOVE, level)
    if absent and found.verdict != DOES_NOT_HOLD:
        return Lacking(about=about, why=f"{', '.join(absent)} was not evaluated", absent=tuple(absent))
    return found


def against_generalist(studied: Studied) -> list[Weighed]:
    return [over(studied, generalist_of(studied), task, shared(len(studied.tasks))) for task in studied.tasks]


def against_every_generalist(studied: Studied) -> list[Weighed]:
    """Of any size: the paper's are as large as ours and 70 times as large."""
    bases = finetuned_generalists_of(studied)
    if not bases:
        return [Lacking(about="finetuned generalists", why="none was evaluated, and the profile asks for none")]
    level = shared(len(studied.tasks) * len(bases))
    return [over(studied, base, task, level, f"{base.name}, ") for base in bases for task in studied.tasks]


def over(studied: Studied, base: Base | None, task: str, level: float, prefix: str = "") -> Weighed:
    """Ours less another base, finetuned alike."""
    other, ours = studied.finetuned_alike(base, studied.ours, task)
    about = f"{prefix}{title_of(task)}" + (f" ({titled(ours.cell.trained_on)})" if ours.cell else "")
    return weighed_sum(studied, about, less(ours, other, task, studied.split), ABOVE, level)


def against_large(studied: Studied) -> list[Weighed]:
    """The best of the models from elsewhere and of larger variants, zero-shot."""
    large = [cell for cell in studied.zero_shots if is_large(studied, cell)]
    absent = [name for name in studied.missing if asset_of(name) in ZERO_SHOT_ASSETS and may_be_large(studied, name)]
    wanted = "a larger model, zero-shot"
    return [against_each(studied, task, large, absent, wanted, others_first=False) for task in studied.tasks]


def may_be_large(studied: Studied, zero_shot: str) -> bool:
    """Of an evaluation that was not made: of a model from elsewhere, or of a variant whose size is larger or not known."""
    base = studied.base(zero_shot.split("/")[1])
    if base is None:
        return True
    if base == studied.ours or base.is_random:
        return False
    return base.num_parameters is None or base.num_parameters > (studied.ours.num_parameters or 0)


def is_large(studied: Studied, cell: Cell) -> bool:
    """From elsewhere, or a variant with more parameters than ours; random weights of any size are nobody's large model."""
    base = studied.base(cell.model)
    if base is None:
        return not cell.is_untrained
    return not base.is_random and (base.num_parameters or 0) > (studied.ours.num_parameters or 0)


def all_but_one(count: int) -> int:
    """Four of the paper's five."""
    return max(1, count - 1)


ON_EVERY_TASK = "95 % interval shared among the tasks (Bonferroni), resampled by patient"
OF_EACH = (
    "of every such model that was asked about at least half as many notes as the most-asked; the error of a verdict that the "
    "claim does not hold is shared among those models too, because the best is chosen on the same notes"
)
ZERO_SHOT_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="zero_shot_is_weak",
            paper="Fig. 2a, section 2",
            statement="On all tasks but one (four of the paper's five), no model does zero-shot what ours does finetuned.",
            statistic="AUROC of the best zero-shot model less that of ours, finetuned, on the same notes: the upper bound lies "
            f"below 0, {OF_EACH}; {ON_EVERY_TASK}",
        ),
        weigh=lambda studied: against_best(studied, zero_shot_first=True),
        needed=all_but_one,
    ),
)
FINETUNED_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="finetuned_exceeds_best_zero_shot",
            paper="Fig. 2b, section 2",
            statement="Ours, finetuned, exceeds the best zero-shot model on every task.",
            statistic=f"paired difference of AUROC above 0 on every task, {OF_EACH}; {ON_EVERY_TASK}",
        ),
        weigh=lambda studied: against_best(studied, zero_shot_first=False),
    ),
    Question(
        claim=Claim(
            name="clinical_base_exceeds_generalist",
            paper="Fig. 2b, section 2; appendix C",
            statement="Finetuned, the clinically pretrained base exceeds the generalist base, on every task.",
            statistic="paired difference of AUROC above 0 on every task, both joint or both single; generalist: read web text "
            f"alone in the size of ours, else in another size, else from a folder; {ON_EVERY_TASK}",
        ),
        weigh=against_generalist,
        is_of_clinical_base=True,
    ),
    Question(
        claim=Claim(
            name="finetuned_exceeds_every_finetuned_generalist",
            paper="Abstract; Fig. 2b, sections 2 and 4",
            statement="Ours, finetuned, exceeds every finetuned generalist, whatever its size, on every task.",
            statistic="paired difference of AUROC above 0 on every task to every generalist base that was finetuned or is to be by "
            "the profile, both joint or both single; 95 % interval shared among tasks and bases (Bonferroni), resampled by patient",
        ),
        weigh=against_every_generalist,
    ),
    Question(
        claim=Claim(
            name="small_finetuned_exceeds_large_zero_shot",
            paper="Abstract; Fig. 2b",
            statement="Ours, finetuned, exceeds larger models and models from elsewhere that were not finetuned, on every task.",
            statistic=f"paired difference of AUROC above 0 on every task, {OF_EACH}; {ON_EVERY_TASK}",
        ),
        weigh=against_large,
    ),
)
