"""What size, text and architecture of pretraining are worth (appendix D, Fig. D4)."""

from __future__ import annotations

from collections.abc import Sequence

from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import Base, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import ABOVE, Lacking, Question, Region, Weighed, less, shared, weighed_sum
from lang1_assets.ops.study.figure import Figure
from lang1_assets.ops.study.points import CHANCE, sought_point, title_of
from lang1_assets.ops.study.roles import (
    architecture_pairs,
    is_larger,
    of_unknown_size,
    recent_pairs,
    size_pairs,
    web_pairs,
)

TASKS_SHOWN = ("readmission", "insurance_denial", "length_of_stay")
"""The paper's three, for their distinct patterns of transfer."""
MARGIN = 0.01
"""AUROC: adding web text may cost less than this and not hurt."""


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. D4: every pretrained variant finetuned, a panel a task."""
    points = [
        sought_point(
            studied.finetuned(base, task),
            task,
            studied.split,
            series=described(base),
            x=base.name,
            panel=title_of(task),
        )
        for task in tasks_of(studied)
        for base in studied.bases
        if has_any(studied, base)
    ]
    return (
        Figure(
            name="ablations",
            paper="Fig. D4",
            title="Size, text and architecture of pretraining",
            caption=f"AUROC of the finetuned models on the {studied.test_title(*TASKS_SHOWN)}; bars are 95 % intervals.",
            kind="bars",
            x_title="variant",
            y_title="AUROC",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def tasks_of(studied: Studied) -> list[str]:
    return [task for task in TASKS_SHOWN if task in studied.tasks]


def has_any(studied: Studied, base: Base) -> bool:
    return any(studied.finetuned(base, task).cell for task in tasks_of(studied))


def described(base: Base) -> str:
    """`decoder, notes_plus and web_text`."""
    text = " and ".join(sorted(base.corpora)) or ("random weights" if base.is_random else "from a folder")
    return f"{base.architecture}, {text}"


def pair_means(studied: Studied, pairs: Sequence[tuple[Base, Base]], region: Region, what: str) -> list[Weighed]:
    """Of each pair the second's AUROC less the first's, mean over the tasks that both were finetuned for."""
    if not pairs:
        return [Lacking(about=what, why="no two pretrained variants of the profile differ in this alone")]
    found: list[Weighed] = []
    for first, second in pairs:
        tasks = shared_tasks(studied, first, second)
        about = f"{second.name} less {first.name}, mean of {len(tasks)} tasks"
        if not tasks:
            found.append(Lacking(about=about, why="both finetuned alike for one of the three tasks: not evaluated"))
            continue
        parts = [
            part
            for task in tasks
            for one, other in [studied.finetuned_alike(first, second, task)]
            for part in less(other, one, task, studied.split, 1 / len(tasks))
        ]
        found.append(weighed_sum(studied, about, parts, region, shared(len(pairs))))
    return found


def by_size(studied: Studied) -> list[Weighed]:
    """Every pair of sizes; one that was not pretrained yet would be in a pair too."""
    unknown = [
        Lacking(about=base.name, why=f"pretrained_model/{base.name} was not made, so its size is not known")
        for base in of_unknown_size(studied)
    ]
    return [*pair_means(studied, list(size_pairs(studied)), ABOVE, "sizes"), *unknown]


def recent_text(studied: Studied) -> list[Weighed]:
    """Of the largest decoders that come with either years: smaller ones gain nothing in the paper."""
    pairs = decoders_by_years(studied)
    largest = [pair for pair in pairs if not any(is_larger(other, pair[1]) for _, other in pairs)]
    return pair_means(studied, largest, ABOVE, "years of notes")


def decoders_by_years(studied: Studied) -> list[tuple[Base, Base]]:
    return [(older, newer) for older, newer in recent_pairs(studied) if newer.architecture == "decoder"]


def gains_by_size(studied: Studied) -> list[Weighed]:
    """What more years are worth to the larger size less what they are to the smaller one, mean over the tasks of all four."""
    pairs = decoders_by_years(studied)
    fours = [
        (small, large)
        for small in pairs
        for large in pairs
        if small[1].corpora == large[1].corpora and is_larger(large[1], small[1])
    ]
    if not fours:
        return [Lacking(about="years of notes", why="no two sizes of the profile come with both Notes and Notes+")]
    found: list[Weighed] = []
    for small, large in fours:
        modes = {task: mode_of_all(studied, (*small, *large), task) for task in tasks_of(studied)}
        tasks = {task: mode for task, mode in modes.items() if mode is not None}
        about = f"gain of {large[1].name} less gain of {small[1].name}, mean of {len(tasks)} tasks"
        if not tasks:
            found.append(Lacking(about=about, why="all four finetuned alike for one of the three tasks: not evaluated"))
            continue
        parts = [
            part
            for task, mode in tasks.items()
            for (older, newer), weight in ((large, 1 / len(tasks)), (small, -1 / len(tasks)))
            for part in less(studied.here(newer, mode), studied.here(older, mode), task, studied.split, weight)
        ]
        found.append(weighed_sum(studied, about, parts, ABOVE, shared(len(fours))))
    return found


def mode_of_all(studied: Studied, bases: Sequence[Base], task: str) -> str | None:
    """Joint where all were finetuned jointly, else the task alone where all were."""
    modes = (JOINT, task)
    return next((mode for mode in modes if all(studied.here(base, mode).cell for base in bases)), None)


def shared_tasks(studied: Studied, first: Base, second: Base) -> list[str]:
    pairs = {task: studied.finetuned_alike(first, second, task) for task in tasks_of(studied)}
    return [task for task, both in pairs.items() if all(one.cell for one in both)]


RULE = "mean over readmission, insurance denial and length of stay, of both joint or both single models; 95 % interval"
SHARED = "shared among the pairs of variants (Bonferroni), resampled by patient"
QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="larger_is_better",
            paper="Fig. D4, appendix D",
            statement="Of decoders pretrained on the same text, the larger is better.",
            statistic=f"paired difference of AUROC, {RULE} above 0 of every pair, {SHARED}",
        ),
        weigh=by_size,
    ),
    Question(
        claim=Claim(
            name="web_text_does_not_hurt",
            paper="Fig. D4, appendix D",
            statement="Mixing web text into clinical text does not hurt.",
            statistic=f"non-inferiority: paired difference of AUROC, with less without, {RULE} above -{MARGIN} of every pair, "
            f"{SHARED}",
        ),
        weigh=lambda studied: pair_means(studied, list(web_pairs(studied)), Region(lower=-MARGIN), "web text"),
    ),
    Question(
        claim=Claim(
            name="recent_clinical_text_helps",
            paper="Fig. D4, appendix D",
            statement="More and more recent clinical text is better for the largest model.",
            statistic=f"paired difference of AUROC, Notes+ less Notes, of the largest decoders that come with both, {RULE} above 0 "
            f"of every such pair, {SHARED}",
        ),
        weigh=recent_text,
    ),
    Question(
        claim=Claim(
            name="larger_gains_more_from_recent_text",
            paper="Fig. D4, appendix D",
            statement="More and more recent clinical text is worth more to the larger model than to the smaller one.",
            statistic="difference of differences of AUROC, Notes+ less Notes of the larger size less the same of the smaller, "
            f"{RULE} above 0 of every two sizes, shared among them (Bonferroni), resampled by patient",
        ),
        weigh=gains_by_size,
    ),
    Question(
        claim=Claim(
            name="decoder_exceeds_encoder",
            paper="Fig. D4, A2",
            statement="A decoder exceeds the encoder that was pretrained on the same text.",
            statistic=f"paired difference of AUROC, {RULE} above 0 of every pair, {SHARED}; against ours where no decoder has the "
            "encoder's text",
        ),
        weigh=lambda studied: pair_means(studied, architecture_pairs(studied), ABOVE, "architectures"),
    ),
)
