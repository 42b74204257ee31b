"""What a model finetuned on one task is worth on the others (Fig. 5a, appendices C and F)."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import Base, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import (
    ABOVE,
    BELOW,
    Lacking,
    Part,
    Question,
    Region,
    Weighed,
    less,
    shared,
    weighed_sum,
)
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE, sought_point, title_of, titled
from lang1_assets.ops.study.roles import generalist_of

ZERO_SHOT = "zero_shot"
READMISSION, DEATH, STAY = "readmission", "mortality", "length_of_stay"
LITTLE = 0.01
"""AUROC: a gain of less is no help."""
MOST = 3


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 5a and C3: finetuned on (row) against evaluated on (column), a panel a base."""
    bases = bases_shown(studied)
    points = [point for base in bases for point in panel(studied, base)]
    return (
        Figure(
            name="transfer",
            paper="Fig. 5a, C3",
            title="Finetuned on one task, evaluated on all",
            caption=f"AUROC on {studied.split}. First row: not finetuned. Last row: finetuned on all.",
            kind="heatmap",
            x_title="evaluated on",
            y_title="finetuned on",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def bases_shown(studied: Studied) -> list[Base]:
    """Finetuned both on one task and on all; else on one."""
    single = [base for base in studied.bases if any(studied.here(base, task).cell for task in studied.tasks)]
    return [base for base in single if studied.here(base, JOINT).cell] or single


def panel(studied: Studied, base: Base) -> list[Point]:
    return [
        sought_point(
            studied.here(base, mode),
            task,
            studied.split,
            series="zero-shot" if mode == ZERO_SHOT else titled(mode),
            x=title_of(task),
            panel=base.name,
        )
        for mode in (ZERO_SHOT, *studied.tasks, JOINT)
        for task in studied.tasks
    ]


def gain(studied: Studied, base: Base | None, mode: str, task: str, over: str, weight: float = 1.0) -> list[Part]:
    """AUROC on a task of one recipe less that of another one."""
    return less(studied.here(base, mode), studied.here(base, over), task, studied.split, weight)


def joint_over_single(studied: Studied) -> list[Weighed]:
    tasks = studied.tasks
    return [
        weighed_sum(studied, title_of(task), gain(studied, studied.ours, JOINT, task, task), ABOVE, shared(len(tasks)))
        for task in tasks
    ]


def readmission_helps(studied: Studied) -> list[Weighed]:
    others = [task for task in studied.tasks if task != READMISSION]
    return [
        weighed_sum(
            studied,
            title_of(task),
            gain(studied, studied.ours, READMISSION, task, ZERO_SHOT),
            ABOVE,
            shared(len(others)),
        )
        for task in others
    ]


def asymmetry(studied: Studied) -> list[Weighed]:
    ours = studied.ours
    return [
        weighed_sum(
            studied,
            f"{title_of(DEATH)} on {title_of(STAY)}",
            gain(studied, ours, DEATH, STAY, ZERO_SHOT),
            ABOVE,
            shared(2),
        ),
        weighed_sum(
            studied,
            f"{title_of(STAY)} on {title_of(DEATH)}",
            gain(studied, ours, STAY, DEATH, ZERO_SHOT),
            Region(upper=LITTLE),
            shared(2),
        ),
    ]


def patterns(studied: Studied) -> list[Weighed]:
    generalist = generalist_of(studied)
    return [
        joint_mean(studied, studied.ours, ABOVE),
        joint_mean(studied, generalist, BELOW)
        if generalist
        else Lacking(about="web-only base", why="the profile has no such variant"),
    ]


def joint_mean(studied: Studied, base: Base, region: Region) -> Weighed:
    """Joint less single, mean over the tasks."""
    weight = 1 / max(1, len(studied.tasks))
    parts = [part for task in studied.tasks for part in gain(studied, base, JOINT, task, task, weight)]
    return weighed_sum(studied, f"{base.name}, joint less single", parts, region, shared(2))


SHARED = "95 % interval shared among them (Bonferroni), resampled by patient"
QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="joint_exceeds_single",
            paper="Fig. 5a; abstract",
            statement=f"Finetuned on all tasks together, ours exceeds itself finetuned on one, on at least {MOST} tasks.",
            statistic=f"paired difference of AUROC above 0 on {MOST} tasks or more; {SHARED}",
        ),
        weigh=joint_over_single,
        needed=lambda count: MOST,
    ),
    Question(
        claim=Claim(
            name="readmission_helps_the_others",
            paper="Fig. 5a, section 2",
            statement="Finetuned on readmission, ours exceeds itself zero-shot on every other task.",
            statistic=f"paired difference of AUROC above 0 on each other task; {SHARED}",
        ),
        weigh=readmission_helps,
    ),
    Question(
        claim=Claim(
            name="mortality_helps_stay_and_not_the_reverse",
            paper="Fig. 5a; appendix F",
            statement="Finetuning on mortality helps length of stay; finetuning on length of stay does not help mortality.",
            statistic=f"paired difference of AUROC to zero-shot: above 0 the one way, below {LITTLE} the other; {SHARED}",
        ),
        weigh=asymmetry,
    ),
    Question(
        claim=Claim(
            name="bases_transfer_differently",
            paper="Fig. C3, appendix C",
            statement="Joint finetuning helps the clinical base and hurts the web-only one.",
            statistic="AUROC of joint less single, mean over the tasks: above 0 of the clinical base, below 0 of the other; "
            f"{SHARED}",
        ),
        weigh=patterns,
    ),
)
