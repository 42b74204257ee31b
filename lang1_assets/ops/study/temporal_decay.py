"""Do models get worse as the test moves away from the training years (Fig. A2)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import Base, Cell, Sought, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import ABOVE, BELOW, Lacking, Part, Question, Weighed, shared, weighed_sum
from lang1_assets.ops.study.figure import Figure
from lang1_assets.ops.study.points import CHANCE, auroc_point, title_of
from lang1_assets.ops.study.roles import architecture_pairs

FIRST, LAST = "test", "temporal_2024"


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. A2: a line a model over the tests, a panel a task: ours, encoders, baselines."""
    points = [
        auroc_point(cell, task, split, series=cell.model, x=test_title(studied, task, split), panel=title_of(task))
        for task in studied.tasks
        for cell in shown(studied, task)
        for split in studied.test_splits
    ]
    return (
        Figure(
            name="temporal_decay",
            paper="Fig. A2",
            title="Tests ever further from the training years",
            caption="AUROC of finetuned models by test; bars are 95 % intervals.",
            kind="lines",
            x_title="test",
            y_title="AUROC",
            points=tuple(points),
            chance=CHANCE,
        ),
    )


def test_title(studied: Studied, task: str, split: str) -> str:
    return "test" if split == FIRST else studied.split_titles.of(split, task)


def shown(studied: Studied, task: str) -> list[Cell]:
    encoders = [base for base in studied.bases if base.architecture == "encoder"]
    found = [studied.finetuned(base, task).cell for base in (studied.ours, *encoders)]
    return [*(cell for cell in found if cell is not None), *studied.of("baseline")]


def is_dated(sought: Sought, task: str) -> bool:
    """Whether it has the first and the last test of the task."""
    return sought.cell is not None and all(sought.cell.auroc(task, split) is not None for split in (FIRST, LAST))


def decay(found: Mapping[str, Sought], sign: float = 1.0) -> list[Part]:
    """Of task -> model the AUROC of the last test less that of the first, mean over the tasks."""
    weight = sign / max(1, len(found))
    return [
        (weight if split == LAST else -weight, sought, task, split)
        for task, sought in found.items()
        for split in (FIRST, LAST)
    ]


def decays(studied: Studied) -> list[Weighed]:
    return [decay_of(studied, studied.ours, shared(1))]


def encoders_decay(studied: Studied) -> list[Weighed]:
    encoders = [base for base in studied.bases if base.architecture == "encoder"]
    if not encoders:
        return [Lacking(about="encoder", why="the profile has no such variant")]
    return [decay_of(studied, encoder, shared(len(encoders))) for encoder in encoders]


def decay_of(studied: Studied, base: Base, level: float) -> Weighed:
    models = {task: studied.finetuned(base, task) for task in studied.tasks}
    tasks = {task: model for task, model in models.items() if is_dated(model, task)}
    about = f"{base.name}, latest test less first, mean of {len(tasks)} tasks"
    if not tasks:
        why = f"no task of {JOINT}_evaluation/{base.name} has both tests"
        return Lacking(about=about, why=why)
    return weighed_sum(studied, about, decay(tasks), BELOW, level)


def decoder_decays_less(studied: Studied) -> list[Weighed]:
    pairs = architecture_pairs(studied)
    if not pairs:
        return [Lacking(about="encoder", why="the profile has no such variant")]
    found: list[Weighed] = []
    for encoder, decoder in pairs:
        pairs_of = {task: studied.finetuned_alike(encoder, decoder, task) for task in studied.tasks}
        tasks = {task: pair for task, pair in pairs_of.items() if all(is_dated(model, task) for model in pair)}
        about = f"{decoder.name} less {encoder.name}, mean of {len(tasks)} tasks"
        if not tasks:
            found.append(Lacking(about=about, why="no task has both tests of both, finetuned"))
            continue
        of_encoder, of_decoder = ({task: pair[place] for task, pair in tasks.items()} for place in (0, 1))
        parts = [*decay(of_decoder), *decay(of_encoder, -1.0)]
        found.append(weighed_sum(studied, about, parts, ABOVE, shared(len(pairs))))
    return found


QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="performance_decays_with_time",
            paper="Fig. A2, appendix A",
            statement="Ours, finetuned, does worse on the latest test than on that of the training years.",
            statistic="AUROC on the latest test less that on the first, mean over the tasks: 95 % interval below 0, resampled by "
            "patient",
        ),
        weigh=decays,
    ),
    Question(
        claim=Claim(
            name="encoder_decays_with_time",
            paper="Fig. A2, appendix A",
            statement="The encoder, finetuned, does worse on the latest test than on that of the training years, as ours does.",
            statistic="AUROC on the latest test less that on the first, mean over the tasks: 95 % interval below 0 of every "
            "encoder, shared among them (Bonferroni), resampled by patient",
        ),
        weigh=encoders_decay,
    ),
    Question(
        claim=Claim(
            name="decoder_decays_less_than_encoder",
            paper="Fig. A2, appendix A",
            statement="The decoder loses less by the latest test than the encoder of the same text.",
            statistic="change of AUROC from the first test to the latest of the decoder less that of the encoder, mean over the "
            "tasks, both joint or both single: 95 % interval above 0, shared among the encoders (Bonferroni), resampled by patient",
        ),
        weigh=decoder_decays_less,
    ),
)
