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
READMISSION, DEATH, STAY, DENIAL = "readmission", "mortality", "length_of_stay", "insurance_denial"
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
            caption=f"AUROC on the {studied.test_title()}. First row: not finetuned. Last row: finetuned on all.",
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
    return gains(studied, studied.ours, helped_by_readmission(studied))


def asymmetry(studied: Studied) -> list[Weighed]:
    return gains(studied, studied.ours, ONE_WAY)


def generalist_alike(studied: Studied) -> list[Weighed]:
    """What both bases have in common: on the generalist what the two claims above say of ours."""
    return gains(studied, generalist_of(studied), [*helped_by_readmission(studied), *ONE_WAY])


def denial_parts_them(studied: Studied) -> list[Weighed]:
    both = ((studied.ours, BELOW), (generalist_of(studied), ABOVE))
    return [
        one for base, region in both for one in gains(studied, base, [(DENIAL, STAY, region)], shared(2), named=True)
    ]


Gain = tuple[str, str, Region]
"""Finetuned on, evaluated on, and where its AUROC less that of zero-shot should lie."""
ONE_WAY: Sequence[Gain] = ((DEATH, STAY, ABOVE), (STAY, DEATH, Region(upper=LITTLE)))


def helped_by_readmission(studied: Studied) -> list[Gain]:
    return [(READMISSION, task, ABOVE) for task in studied.tasks if task != READMISSION]


def gains(
    studied: Studied, base: Base | None, sought: Sequence[Gain], level: float | None = None, *, named: bool = False
) -> list[Weighed]:
    """Of each pair of tasks the AUROC over zero-shot; the level is shared among them unless given."""
    prefix = f"{base.name if base else 'generalist base'}, " if named else ""
    return [
        weighed_sum(
            studied,
            f"{prefix}{title_of(mode)} on {title_of(task)}",
            gain(studied, base, mode, task, ZERO_SHOT),
            region,
            shared(len(sought)) if level is None else level,
        )
        for mode, task, region in sought
    ]


def patterns(studied: Studied) -> list[Weighed]:
    generalist = generalist_of(studied)
    return [
        joint_mean(studied, studied.ours, ABOVE),
        joint_mean(studied, generalist, BELOW)
        if generalist
        else Lacking(about="generalist base", why="the profile has no such variant"),
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
            statement="Joint finetuning helps the clinical base and hurts the generalist one.",
            statistic="AUROC of joint less single, mean over the tasks: above 0 of the clinical base, below 0 of the other; "
            f"{SHARED}",
        ),
        weigh=patterns,
        is_of_clinical_base=True,
    ),
    Question(
        claim=Claim(
            name="denial_lowers_stay_of_ours_alone",
            paper="Fig. C3, appendix C",
            statement="Finetuning on insurance denial lowers length of stay of the clinical base and raises the generalist's.",
            statistic="paired difference of AUROC on length of stay to zero-shot: below 0 of the clinical base, above 0 of the "
            f"other; {SHARED}",
        ),
        weigh=denial_parts_them,
        is_of_clinical_base=True,
    ),
    Question(
        claim=Claim(
            name="generalist_transfers_alike",
            paper="Fig. C3, appendix C",
            statement="The generalist base transfers as ours where the paper says both do: readmission helps every other task, "
            "mortality helps length of stay and not the reverse.",
            statistic="paired differences of AUROC of the generalist base to zero-shot: above 0 on each other task and on length "
            f"of stay, below {LITTLE} on mortality; {SHARED}",
        ),
        weigh=generalist_alike,
    ),
)
