"""Zero-shot against finetuned, small against large (Fig. 2a, 2b)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import Cell, Sought, Studied, best_of
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import ABOVE, BELOW, Question, Weighed, less, shared, weighed_sum
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE, auroc_point, sought_point, title_of, titled
from lang1_assets.ops.study.roles import generalist_of

BEST = "best zero-shot"
BEST_RULE = "best: the highest AUROC on these notes, of the models that were asked about at least half as many as the most-asked"


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
            caption=f"AUROC on {studied.split} without finetuning; bars are 95 % intervals.",
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
            caption=f"AUROC on {studied.split}; bars are 95 % intervals. {BEST_RULE[0].upper()}{BEST_RULE[1:]}.",
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
    yield point if best.cell is None else Point(**{**vars(point), "note": best.cell.model})
    for cell in studied.of("baseline"):
        yield auroc_point(cell, task, split, series=cell.model, x=x)
    for cell in finetuned_cells(studied):
        if cell.trained_on in (JOINT, task):
            kind = JOINT if cell.trained_on == JOINT else "single"
            yield auroc_point(cell, task, split, series=f"{cell.model}, {kind}", x=x)


def finetuned_cells(studied: Studied) -> list[Cell]:
    return [cell for cell in studied.of("variant") if cell.trained_on is not None]


def best_zero_shot(studied: Studied, task: str) -> Sought:
    return Sought(name="zero_shot_evaluation", cell=best_of(studied.zero_shots, task, studied.split))


def against_best(studied: Studied, zero_shot_first: bool) -> list[Weighed]:
    found = []
    for task in studied.tasks:
        best, ours = best_zero_shot(studied, task), studied.finetuned(studied.ours, task)
        first, second = (ours, best) if zero_shot_first else (best, ours)
        about = title_of(task) + (f" ({best.cell.model})" if best.cell else "")
        region = BELOW if zero_shot_first else ABOVE
        parts = less(second, first, task, studied.split)
        found.append(weighed_sum(studied, about, parts, region, shared(len(studied.tasks))))
    return found


def against_generalist(studied: Studied) -> list[Weighed]:
    found = []
    for task in studied.tasks:
        generalist, ours = studied.finetuned_alike(generalist_of(studied), studied.ours, task)
        about = f"{title_of(task)} ({titled(ours.cell.trained_on)})" if ours.cell else title_of(task)
        parts = less(ours, generalist, task, studied.split)
        found.append(weighed_sum(studied, about, parts, ABOVE, shared(len(studied.tasks))))
    return found


def against_large(studied: Studied) -> list[Weighed]:
    """The best of the models from elsewhere and of larger variants, zero-shot."""
    large = [cell for cell in studied.zero_shots if is_large(studied, cell)]
    found = []
    for task in studied.tasks:
        best = Sought(name="a larger model, zero-shot", cell=best_of(large, task, studied.split))
        about = title_of(task) + (f" ({best.cell.model})" if best.cell else "")
        parts = less(studied.finetuned(studied.ours, task), best, task, studied.split)
        found.append(weighed_sum(studied, about, parts, ABOVE, shared(len(studied.tasks))))
    return found


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
ZERO_SHOT_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="zero_shot_is_weak",
            paper="Fig. 2a, section 2",
            statement="On all tasks but one (four of the paper's five), no model does zero-shot what ours does finetuned.",
            statistic="AUROC of the best zero-shot model less that of ours, finetuned, on the same notes: the upper bound lies "
            f"below 0; {ON_EVERY_TASK}; {BEST_RULE}",
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
            statistic=f"paired difference of AUROC above 0 on every task; {ON_EVERY_TASK}; {BEST_RULE}",
        ),
        weigh=lambda studied: against_best(studied, zero_shot_first=False),
    ),
    Question(
        claim=Claim(
            name="clinical_base_exceeds_generalist",
            paper="Fig. 2b, section 2; appendix C",
            statement="Finetuned, the clinically pretrained base exceeds the base that read web text alone, on every task.",
            statistic=f"paired difference of AUROC above 0 on every task, both joint or both single; {ON_EVERY_TASK}",
        ),
        weigh=against_generalist,
    ),
    Question(
        claim=Claim(
            name="small_finetuned_exceeds_large_zero_shot",
            paper="Abstract; Fig. 2b",
            statement="Ours, finetuned, exceeds larger models and models from elsewhere that were not finetuned, on every task.",
            statistic=f"paired difference of AUROC to the best of them above 0 on every task; {ON_EVERY_TASK}; {BEST_RULE}",
        ),
        weigh=against_large,
    ),
)
