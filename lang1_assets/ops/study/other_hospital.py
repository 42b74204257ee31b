"""Finetuned here, tested at another hospital (Fig. 5b, appendix M)."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.study.cells import SPLIT_ELSEWHERE, Base, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import (
    ABOVE,
    BELOW,
    Lacking,
    Question,
    Region,
    Weighed,
    less,
    shared,
    weighed_sum,
)
from lang1_assets.ops.study.figure import Figure
from lang1_assets.ops.study.points import CHANCE, sought_point, title_of
from lang1_assets.ops.study.roles import generalist_of
from lang1_assets.ops.tasks import REMEDE

SMALL = 0.02
"""AUROC: the paper's differences between finetuning here and there are 0.004 to 0.018 (appendix M)."""
MODES = {
    "zero_shot": "zero-shot",
    "{}": "finetuned here",
    "matched_{}": "finetuned here, as many notes as there",
    "elsewhere_{}": "finetuned there",
}
"""Recipe, with the task in its place -> its name in print."""
HERE, MATCHED, THERE = "{}", "matched_{}", "elsewhere_{}"


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 5b and M10: base (column) against what it was finetuned on (row), a panel a task; M11 is its third row."""
    names = {cell.model for cell in studied.of("elsewhere")}
    points = [
        sought_point(
            studied.there(base, mode.format(task)),
            task,
            SPLIT_ELSEWHERE,
            series=words,
            x=base.name,
            panel=title_of(task),
        )
        for task in tasks_there(studied)
        for base in studied.bases
        if base.name in names
        for mode, words in MODES.items()
        if task in tasks_with(studied, mode)
    ]
    return (
        Figure(
            name="other_hospital",
            paper="Fig. 5b, M10, M11",
            title="Tested at another hospital",
            caption="AUROC on the test of the other hospital, by what the model was finetuned on.",
            kind="heatmap",
            x_title="base",
            y_title="finetuned on",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def tasks_there(studied: Studied) -> list[str]:
    """Those that any model was evaluated on there."""
    found = {row["task"] for cell in studied.of("elsewhere") for row in cell.rows}
    return [task for task in REMEDE if task in found]


def tasks_with(studied: Studied, recipe: str) -> list[str]:
    """Those that some base was asked in this way, finetuned or not, or is to be by the profile."""
    modes = {cell.trained_on or "zero_shot" for cell in studied.of("elsewhere")}
    modes |= {name.split("/")[-1] for name in studied.missing if name.startswith("elsewhere_evaluation/")}
    return [task for task in REMEDE if recipe.format(task) in modes]


Compared = tuple[Base | None, str, Base | None, str, Region]
"""Of a base and recipe the AUROC less that of another base and recipe, and where it should lie."""


def on_tasks(studied: Studied, tasks: Sequence[str], compared: Sequence[Compared]) -> list[Weighed]:
    if not tasks:
        return [Lacking(about="another hospital", why="nothing that this claim needs was evaluated there")]
    return [
        weighed_sum(
            studied,
            f"{title_of(task)}, {words(second, recipe)} less {words(first, other)}",
            less(
                studied.there(second, recipe.format(task)),
                studied.there(first, other.format(task)),
                task,
                SPLIT_ELSEWHERE,
            ),
            region,
            shared(len(tasks) * len(compared)),
        )
        for task in tasks
        for second, recipe, first, other, region in compared
    ]


def words(base: Base | None, recipe: str) -> str:
    return f"{base.name if base else 'generalist base'} {MODES[recipe]}"


def transfers(studied: Studied) -> list[Weighed]:
    ours = studied.ours
    near = Region(lower=-SMALL)
    pairs: list[Compared] = [(ours, HERE, ours, "zero_shot", ABOVE), (ours, HERE, ours, THERE, near)]
    return on_tasks(studied, tasks_with(studied, THERE), pairs)


def clinical_is_better(studied: Studied) -> list[Weighed]:
    ours, generalist = studied.ours, generalist_of(studied)
    pairs: list[Compared] = [(ours, recipe, generalist, recipe, ABOVE) for recipe in (HERE, THERE)]
    return on_tasks(studied, tasks_with(studied, THERE), pairs)


def generalist_gains(studied: Studied) -> list[Weighed]:
    return more_here(studied, generalist_of(studied), ABOVE)


def matched_is_no_better(studied: Studied) -> list[Weighed]:
    """Only where there was a gain to remove: of more notes here than there, the model read as many as there are there."""
    base, tasks = generalist_of(studied), tasks_with(studied, MATCHED)
    found = on_tasks(studied, tasks, [(base, MATCHED, base, THERE, Region(upper=SMALL))])
    if not tasks:
        return found
    sizes = [[notes_learned(studied, base, recipe, task) for recipe in (HERE, MATCHED, THERE)] for task in tasks]
    return [
        Lacking(about=one.about, why=f"learned from {here} notes here, {matched} of as many as there, {there} there")
        if 0 < here <= there or 0 < matched < there
        else one
        for one, (here, matched, there) in zip(found, sizes, strict=True)
    ]


def notes_learned(studied: Studied, base: Base | None, recipe: str, task: str) -> int:
    """Labelled notes; 0 where nobody knows."""
    cell = studied.there(base, recipe.format(task)).cell
    return 0 if cell is None else cell.num_notes or 0


def clinical_does_not_gain(studied: Studied) -> list[Weighed]:
    return more_here(studied, studied.ours, BELOW)


def more_here(studied: Studied, base: Base | None, region: Region) -> list[Weighed]:
    """Finetuned here less finetuned there, where more notes were learned from here: of as many the claims say nothing."""
    tasks = tasks_with(studied, THERE)
    found = on_tasks(studied, tasks, [(base, HERE, base, THERE, region)])
    if not tasks:
        return found
    counts = [[notes_learned(studied, base, recipe, task) for recipe in (HERE, THERE)] for task in tasks]
    return [
        Lacking(about=one.about, why=f"learned from {here} notes here and {there} there (finetune.max_steps)")
        if 0 < here <= there
        else one
        for one, (here, there) in zip(found, counts, strict=True)
    ]


SHARED = "95 % interval shared among the comparisons (Bonferroni), resampled by patient"
QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="finetuning_here_transfers_there",
            paper="Fig. 5b, M10",
            statement="At the other hospital, ours finetuned here exceeds itself zero-shot, and hardly loses to finetuned there.",
            statistic=f"paired differences of AUROC on every task: above 0 to zero-shot, above -{SMALL} to finetuned there; "
            f"{SHARED}",
        ),
        weigh=transfers,
    ),
    Question(
        claim=Claim(
            name="clinical_base_is_better_there",
            paper="Fig. 5b, M10",
            statement="At the other hospital, the clinical base exceeds the generalist one, finetuned here and finetuned there.",
            statistic=f"paired difference of AUROC above 0 on every task and of both recipes; {SHARED}",
        ),
        weigh=clinical_is_better,
        is_of_clinical_base=True,
    ),
    Question(
        claim=Claim(
            name="generalist_gains_from_more_labels",
            paper="Fig. 5b, M10, M11a",
            statement="The generalist base is better there when finetuned on the larger number of notes from here.",
            statistic=f"paired difference of AUROC, finetuned here less finetuned there, above 0 on every task; {SHARED}",
        ),
        weigh=generalist_gains,
    ),
    Question(
        claim=Claim(
            name="as_many_labels_remove_the_gain",
            paper="Fig. M11a",
            statement="Finetuned here on only as many notes as there are there, the generalist base gains nothing.",
            statistic=f"paired difference of AUROC to finetuned there below {SMALL} on every task that was so matched; {SHARED}",
        ),
        weigh=matched_is_no_better,
    ),
    Question(
        claim=Claim(
            name="clinical_base_prefers_labels_from_there",
            paper="Fig. 5b, M11b",
            statement="The clinical base is better there when finetuned there, on fewer notes.",
            statistic=f"paired difference of AUROC, finetuned here less finetuned there, below 0 on every task; {SHARED}",
        ),
        weigh=clinical_does_not_gain,
        is_of_clinical_base=True,
    ),
)
