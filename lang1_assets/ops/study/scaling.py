"""How tokens and labels are best spent: pretraining against finetuning (Fig. 4a), clinical against web text (Fig. 4b)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lang1_assets.ops.metrics import Floats
from lang1_assets.ops.study.cells import Base, Cell, Sought, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import ABOVE, Lacking, Question, Region, Weighed, least, less, shared, weighed_sum
from lang1_assets.ops.study.figure import Figure
from lang1_assets.ops.study.points import CHANCE, auroc_point, title_of
from lang1_assets.ops.study.roles import scaled_generalists_of, untrained_of

MARGIN = 0.01
"""AUROC: what is lower by less counts as reached."""
MIN_SPREAD = 0.05
"""Standard deviation of the share of finetuning tokens that remains at a fixed budget, below which no slope is fitted."""


def token_budget_figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 4a: AUROC against pretraining and finetuning tokens together, a line for each number of labelled notes."""
    cells = [*pretrained(studied, studied.ours), *from_random_weights(studied)]
    points = [
        auroc_point(cell, studied.scaled_task, studied.split, series=line_of(cell), x=float(cell.total_tokens))
        for cell in cells
    ]
    return (
        Figure(
            name="token_budget",
            paper="Fig. 4a",
            title="Tokens of pretraining and of finetuning",
            caption=f"{scaled_test(studied)}: checkpoints of {studied.ours.name}, each finetuned on so many labelled notes; bars "
            "are 95 % intervals.",
            kind="lines",
            x_title="pretraining and finetuning tokens",
            y_title="AUROC",
            points=tuple(points),
            x_is_log=True,
            chance=CHANCE,
        ),
    )


def data_efficiency_figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 4b: AUROC against labelled notes, the last checkpoint of each variant."""
    points = [
        auroc_point(cell, studied.scaled_task, studied.split, series=base.name, x=float(cell.num_notes or 0))
        for base in studied.bases
        for cell in last_checkpoint(studied, base)
    ]
    return (
        Figure(
            name="data_efficiency",
            paper="Fig. 4b",
            title="AUROC by labelled notes",
            caption=f"{scaled_test(studied)}: the last checkpoint of each base, finetuned on so many labelled notes; bars are 95 % "
            "intervals. The learning rate and the step to stop at were chosen on further labelled notes "
            "(finetune.validation_examples), as many for every point.",
            kind="lines",
            x_title="labelled notes",
            y_title="AUROC",
            points=tuple(points),
            x_is_log=True,
            chance=CHANCE,
        ),
    )


def scaled_test(studied: Studied) -> str:
    return f"{title_of(studied.scaled_task)} on the {studied.test_title(studied.scaled_task)}"


def line_of(cell: Cell) -> str:
    start = "random weights, " if cell.pretrain_tokens == 0 else ""
    return f"{start}{'all ' if cell.has_all_notes else ''}{cell.num_notes or 0:,} notes"


def pretrained(studied: Studied, base: Base | None) -> list[Cell]:
    """Without a model made elsewhere, whose tokens nobody knows: it has no place on an axis of them."""
    return [cell for cell in studied.scaled(base) if cell.pretrain_tokens]


def from_random_weights(studied: Studied) -> list[Cell]:
    """The control's; where it was not finetuned at scale, those of our own trajectory's first checkpoint, before any token."""
    own = [cell for cell in studied.scaled(studied.ours) if cell.pretrain_tokens == 0]
    return studied.scaled(untrained_of(studied)) or own


def last_checkpoint(studied: Studied, base: Base | None) -> list[Cell]:
    cells = studied.scaled(base)
    last = max((cell.pretrain_tokens or 0 for cell in cells), default=0)
    return [cell for cell in cells if (cell.pretrain_tokens or 0) == last]


def budget_slope(studied: Studied) -> list[Weighed]:
    cells = pretrained(studied, studied.ours)
    about = f"{studied.ours.name}, {len(cells)} cells"
    weights = slope_weights(cells)
    if weights is None:
        why = "the evaluated cells do not differ enough in how a budget of tokens is shared (scaled_evaluation)"
        return [Lacking(about=about, why=why)]
    found = [Sought(name=cell.source, cell=cell) for cell in cells]
    parts = [
        (float(weight), sought, studied.scaled_task, studied.split)
        for weight, sought in zip(weights, found, strict=True)
    ]
    return [weighed_sum(studied, about, parts, ABOVE, shared(1))]


def slope_weights(cells: Sequence[Cell]) -> Floats | None:
    """Of each cell in the partial slope of AUROC on the share of finetuning tokens at a fixed budget.

    AUROC = a + b log10(tokens) + c (finetuning tokens / tokens) by least squares: c is a weighted sum of the AUROCs, so its
    interval comes from resampled patients like any other. None where the share hardly varies at a fixed budget.
    """
    if len(cells) < 4 or min(cell.total_tokens for cell in cells) == 0:
        return None
    budgets = np.log10([cell.total_tokens for cell in cells])
    shares = np.array([(cell.finetune_tokens or 0) / cell.total_tokens for cell in cells])
    line = np.column_stack([np.ones(len(cells)), budgets])
    rest = shares - line @ np.linalg.lstsq(line, shares, rcond=None)[0]
    return rest / (rest @ rest) if rest.std() >= MIN_SPREAD else None


def all_labels(studied: Studied) -> list[Weighed]:
    untrained = next((cell for cell in from_random_weights(studied) if cell.has_all_notes), None)
    random = Sought(name="scaled_evaluation of random weights on all notes", cell=untrained)
    parts = less(with_all(studied, studied.ours), random, studied.scaled_task, studied.split)
    return [weighed_sum(studied, title_of(studied.scaled_task), parts, ABOVE, shared(1))]


def with_all(studied: Studied, base: Base | None) -> Sought:
    """The last checkpoint on all labelled notes."""
    cells = [cell for cell in last_checkpoint(studied, base) if cell.has_all_notes]
    name = f"scaled_evaluation/{base.name}/.../all" if base else "a variant of that kind in the profile"
    return Sought(name=name, cell=cells[0] if cells else None)


def by_notes(studied: Studied, base: Base | None) -> dict[int, Cell]:
    """The last checkpoint on fewer than all labelled notes."""
    cells = last_checkpoint(studied, base)
    return {cell.num_notes: cell for cell in cells if cell.num_notes is not None and not cell.has_all_notes}


def scarce_labels(studied: Studied) -> list[Weighed]:
    bases = scaled_generalists_of(studied)
    if not bases:
        why = "no generalist was finetuned on some of the labels (scaled_evaluation), and the profile asks for none"
        return [Lacking(about="generalist", why=why)]
    return [fewest_labels(studied, base, shared(len(bases))) for base in bases]


def fewest_labels(studied: Studied, base: Base, level: float) -> Weighed:
    ours, generalist = by_notes(studied, studied.ours), by_notes(studied, base)
    numbers = sorted(set(ours) & set(generalist))
    parts = [
        part
        for number in numbers
        for part in less(
            Sought(name="", cell=ours[number]),
            Sought(name="", cell=generalist[number]),
            studied.scaled_task,
            studied.split,
            1 / len(numbers),
        )
    ]
    about = f"{base.name}, mean over {', '.join(f'{number:,}' for number in numbers) or 'no'} notes"
    if not parts:
        why = "no number of labelled notes was evaluated of both bases (scaled_evaluation)"
        return Lacking(about=about, why=why)
    return weighed_sum(studied, about, parts, ABOVE, level)


def fewer_labels(studied: Studied) -> list[Weighed]:
    goals = [with_all(studied, base) for base in scaled_generalists_of(studied)]
    if not goals:
        goals = [with_all(studied, None)]
    numbers = sorted(by_notes(studied, studied.ours).items())
    if not numbers:
        return [
            Lacking(about=studied.ours.name, why="finetuned on some of the labels (scaled_evaluation): not evaluated")
        ]
    return [
        least(
            studied,
            f"{number:,} notes",
            [less(Sought(name=cell.source, cell=cell), goal, studied.scaled_task, studied.split) for goal in goals],
            Region(lower=-MARGIN),
            shared(len(numbers)),
        )
        for number, cell in numbers
    ]


TOKEN_BUDGET_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="finetuning_tokens_are_worth_more",
            paper="Fig. 4a, section 2",
            statement="At a fixed budget of tokens, the more of them are for finetuning, the better.",
            statistic="slope of AUROC on the share of finetuning tokens at a fixed log of all tokens, least squares over the "
            "pretrained checkpoints and numbers of notes: 95 % interval above 0, resampled by patient",
        ),
        weigh=budget_slope,
    ),
    Question(
        claim=Claim(
            name="pretraining_helps_with_all_labels",
            paper="Fig. 4a, section 2",
            statement="With all labelled notes, the pretrained model still exceeds the one that began with random weights.",
            statistic="paired difference of AUROC: 95 % interval above 0, resampled by patient",
        ),
        weigh=all_labels,
    ),
)
DATA_EFFICIENCY_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="clinical_base_is_better_with_few_labels",
            paper="Fig. 4b, section 2",
            statement="With few labelled notes, the clinically pretrained base exceeds every generalist base.",
            statistic="paired difference of AUROC, mean over every number of notes below all: above 0 of every generalist "
            "finetuned on so many; 95 % interval shared among them (Bonferroni), resampled by patient",
        ),
        weigh=scarce_labels,
        is_of_clinical_base=True,
    ),
    Question(
        claim=Claim(
            name="clinical_base_needs_fewer_labels",
            paper="Fig. 4b; abstract",
            statement="With some of the labelled notes, the clinical base reaches what each generalist base has with all.",
            statistic=f"paired difference of AUROC to the best generalist with all of them above -{MARGIN} for one number of notes "
            "or more; 95 % interval shared among the numbers, and its upper bound among the generalists (Bonferroni), resampled by "
            "patient",
        ),
        weigh=fewer_labels,
        is_of_clinical_base=True,
        needed=lambda count: 1,
    ),
)
