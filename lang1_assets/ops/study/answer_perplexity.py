"""Does a model that finds question and answer likelier also predict better (Fig. 4c)?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import permutations

import numpy as np

from lang1_assets.ops.metrics import Floats, Integers
from lang1_assets.ops.study.cells import Perplexity, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import BELOW, Evidence, Lacking, Question, Weighed, shared, widened
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE, title_of, titled

MIN_MODELS = 5
"""Of four models, 1 in 24 orders is the best one by chance alone."""
MAX_EXACT = 7
NUM_PERMUTATIONS = 5_000
LEVEL = 0.95
ZERO_SHOT = "zero_shot"


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 4c: a point a model and mode, a panel a task."""
    points = [point for held in studied.perplexities if (point := point_of(studied, held)) is not None]
    return (
        Figure(
            name="answer_perplexity_study",
            paper="Fig. 4c",
            title="Perplexity of question and answer, and AUROC",
            caption=f"Each base on the {studied.test_title()}: arrows lead from zero-shot to joint to single-task, where there are "
            "such models; bars are 95 % intervals.",
            kind="scatter",
            x_title="perplexity",
            y_title="AUROC",
            points=tuple(points),
            x_is_log=True,
            chance=CHANCE,
        ),
    )


def point_of(studied: Studied, held: Perplexity) -> Point | None:
    cell = studied.here(studied.base(held.model), held.mode).cell
    row = None if cell is None else cell.row(held.task, studied.split)
    if cell is None or row is None:
        return None
    return Point(
        series=held.model,
        x=held.value,
        value=row["value"],
        low=row["low"],
        high=row["high"],
        n=row["n"],
        panel=title_of(held.task),
        source=cell.source,
        note=titled(cell.trained_on),
    )


def association(studied: Studied) -> list[Weighed]:
    groups = grouped(studied)
    models = models_of_all(groups)
    about = f"{len(models)} models, {len(groups)} pairs of mode and task"
    if len(models) < MIN_MODELS:
        found = ", ".join(models) or "none"
        why = (
            f"{MIN_MODELS} models with perplexity and AUROC in the same modes and tasks are needed; there are: {found}"
        )
        return [Lacking(about=about, why=why)]
    tables = np.array([[[values[model][k] for model in models] for k in (0, 1)] for values in groups.values()])
    value = mean_rank_correlation(tables[:, 0], tables[:, 1])
    low, high = null_interval(tables[:, 0], tables[:, 1], studied.seed)
    # The interval that a test inverts to: it leaves 0 out where the value is outside of what chance gives.
    return [
        Evidence(
            about=f"{about}: rank correlation",
            value=value,
            low=value - high,
            high=value - low,
            level=LEVEL,
            region=BELOW,
            n=len(models),
            sources=tuple(dict.fromkeys(held.source for held in studied.perplexities if held.model in models)),
        )
    ]


def likelier_than_generalists(studied: Studied) -> list[Weighed]:
    """Bits a byte of ours less those of every generalist, as they were pretrained, on every task."""
    generalists = {base.name for base in studied.bases if base.is_generalist}
    held = {(one.model, one.task): one for one in studied.perplexities if one.mode == ZERO_SHOT}
    pairs = [(name, task) for name, task in held if name in generalists]
    if not pairs:
        return [Lacking(about="generalists", why="answer_perplexity of no generalist was measured")]
    level = shared(len(pairs))
    return [likelier(studied, held.get((studied.ours.name, task)), held[name, task], level) for name, task in pairs]


def likelier(studied: Studied, ours: Perplexity | None, other: Perplexity, level: float) -> Weighed:
    """Two intervals of the same notes, added as if of different ones: what both find hard makes that too wide, never too near."""
    about = f"{other.model}, {title_of(other.task)}"
    if ours is None:
        name = f"answer_perplexity/{studied.ours.name}"
        return Lacking(about=about, why=f"{name} has no perplexity of the task, zero-shot", absent=(name,))
    first, second = bits_of(ours, level), bits_of(other, level)
    if first is None or second is None:
        return Lacking(about=about, why="bits a byte and their intervals are not known")
    value = first[0] - second[0]
    return Evidence(
        about=about,
        value=value,
        low=value - math.hypot(first[0] - first[1], second[2] - second[0]),
        high=value + math.hypot(first[2] - first[0], second[0] - second[1]),
        level=level,
        region=BELOW,
        n=min(ours.n, other.n),
        sources=(ours.source, other.source),
    )


def bits_of(held: Perplexity, level: float) -> tuple[float, float, float] | None:
    """(value, low, high) in bits a byte: of one model and task they are its log perplexity times a constant."""
    if held.bits_per_byte is None or held.low is None or held.high is None or held.value <= 1:
        return None
    scale = held.bits_per_byte / math.log(held.value)
    low, high = (scale * math.log(bound) for bound in (held.low, held.high))
    return held.bits_per_byte, *widened(held.bits_per_byte, low, high, level)


Grouped = dict[tuple[str, str], dict[str, tuple[float, float]]]


def grouped(studied: Studied) -> Grouped:
    """(mode, task) -> model -> (bits a byte, AUROC), of modes and tasks with enough models: like is compared with like."""
    groups: Grouped = {}
    for held in studied.perplexities:
        cell = studied.here(studied.base(held.model), held.mode).cell
        auroc = None if cell is None else cell.auroc(held.task, studied.split)
        # A perplexity by token is of one tokenizer, and a base from a folder has its own; of equal ones the order is the same.
        likely = held.value if held.bits_per_byte is None else held.bits_per_byte
        if auroc is not None and math.isfinite(likely):
            groups.setdefault((held.mode, held.task), {})[held.model] = (likely, auroc)
    return {key: values for key, values in groups.items() if len(values) >= MIN_MODELS}


def models_of_all(groups: Grouped) -> list[str]:
    """Models in each group: one order of models is then permuted in all."""
    if not groups:
        return []
    first, *others = [set(values) for values in groups.values()]
    return sorted(first.intersection(*others))


def mean_rank_correlation(perplexities: Floats, aurocs: Floats) -> float:
    """Spearman's correlation of each row (groups, models), averaged; a row without any difference counts 0.

    >>> mean_rank_correlation(np.array([[1.0, 2.0, 3.0]]), np.array([[0.9, 0.8, 0.7]]))
    -1.0
    """
    first, second = standardized(perplexities), standardized(aurocs)
    return round(float((first * second).sum(axis=1).mean()), 12)


def standardized(values: Floats) -> Floats:
    """Mid-ranks of each row around their mean, of length 1."""
    below = (values[:, :, None] > values[:, None, :]).sum(axis=2)
    ties = (values[:, :, None] == values[:, None, :]).sum(axis=2)
    ranks = below + ties / 2
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    lengths = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    return np.divide(ranks, lengths, out=np.zeros_like(ranks), where=lengths > 0)


def null_interval(perplexities: Floats, aurocs: Floats, seed: int) -> tuple[float, float]:
    """Between which values the correlation stays in 95 % of the orders of the models, if those do not matter.

    The bounds are the extreme values that more than 2.5 % of the orders reach or exceed: a value beyond one has a one-sided
    p of at most 2.5 %.
    """
    first, second = standardized(perplexities), standardized(aurocs)
    found = [(first[:, order] * second).sum(axis=1).mean() for order in orders(first.shape[1], seed)]
    values = np.sort(np.round(found, 12))
    tail = int((1 - LEVEL) / 2 * len(values))
    return float(values[tail]), float(values[-1 - tail])


def orders(num_models: int, seed: int) -> Iterator[Integers]:
    """Every order of a few models, or many seeded ones and the identity."""
    if num_models <= MAX_EXACT:
        yield from (np.array(order) for order in permutations(range(num_models)))
        return
    generator = np.random.default_rng(seed)
    yield np.arange(num_models)
    yield from (generator.permutation(num_models) for _ in range(NUM_PERMUTATIONS - 1))


QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="lower_perplexity_goes_with_higher_auroc",
            paper="Fig. 4c, section 2",
            statement="Models that find question and answer likelier predict better, zero-shot and finetuned.",
            statistic="Spearman's correlation of perplexity (in bits a byte: tokenizers differ) and AUROC over models, mean over "
            f"the modes (zero-shot, joint, the task alone) and tasks that {MIN_MODELS} models or more have, below 0 by a "
            "permutation test of the models, 2.5 % on each side; fewer models: cannot tell",
        ),
        weigh=association,
    ),
    Question(
        claim=Claim(
            name="ours_finds_answers_likelier_than_generalists",
            paper="Fig. 4c, section 2",
            statement="As pretrained, ours finds question and answer likelier than every generalist base, on every task.",
            statistic="perplexity in bits a byte (tokenizers differ), ours less the generalist's, zero-shot, below 0 on every "
            "task; 95 % interval by note, of both added as if independent, shared among generalists and tasks (Bonferroni)",
        ),
        weigh=likelier_than_generalists,
    ),
)
