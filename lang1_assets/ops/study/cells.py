"""What the studies are made from: one evaluated model each, and everything that was evaluated so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lang1_assets.ops.results import AUROC, JOINT, ResultRow
from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.tasks import REMEDE

Kind = Literal["variant", "elsewhere", "scaled", "outside", "served", "baseline"]
"""`elsewhere`: a variant on the other hospital's notes; `scaled`: one checkpoint finetuned on some of the labels; `outside` and
`served`: a model from elsewhere."""
Architecture = Literal["decoder", "encoder"]
CLINICAL = frozenset({"notes", "notes_plus"})
WEB = frozenset({"web_text"})
SPLIT_ELSEWHERE = "test"
SHARE_OF_NOTES = 0.5
"""Of the most-scored model's notes: a model that was asked about fewer is not called the best."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """What a variant is before finetuning (the rows of the paper's tables 1 and 2)."""

    name: str
    corpora: frozenset[str] = frozenset()
    """Of its mixture; empty for random weights and for a folder."""
    architecture: Architecture = "decoder"
    is_random: bool = False
    is_from_folder: bool = False
    num_parameters: int | None = None
    """None where it was not pretrained yet."""
    shape: str = ""
    """Equal for equal sizes; empty for a folder."""

    @property
    def is_generalist(self) -> bool:
        """Trained on nothing clinical that the profile knows of."""
        return self.architecture == "decoder" and (self.is_from_folder or self.corpora == WEB)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One model, evaluated."""

    model: str
    """A variant, a baseline, or a model from elsewhere."""
    kind: Kind
    trained_on: str | None
    """The recipe; None for zero-shot."""
    source: str
    """Name of its artifact."""
    predictions: Path
    """Rows of `schemas.PREDICTIONS`."""
    rows: Sequence[ResultRow]
    pretrain_tokens: int | None = None
    finetune_tokens: int | None = None
    num_notes: int | None = None
    """Labelled notes that it was finetuned on, of `scaled` and `elsewhere` cells; the tokens are of `scaled` ones alone."""
    has_all_notes: bool = False
    is_untrained: bool = False
    """A shape with random weights, of the profile's `models`."""

    def row(self, task: str, split: str, metric: str = AUROC) -> ResultRow | None:
        wanted = (task, split, metric)
        return next((row for row in self.rows if (row["task"], row["split"], row["metric"]) == wanted), None)

    def auroc(self, task: str, split: str) -> float | None:
        row = self.row(task, split)
        return None if row is None else row["value"]

    @property
    def total_tokens(self) -> int:
        return (self.pretrain_tokens or 0) + (self.finetune_tokens or 0)


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A cell that a study needs, there or not."""

    name: str
    """Of the artifact, or what the profile would have to hold."""
    cell: Cell | None


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Fig. 3 of one variant."""

    model: str
    source: str
    rows: Sequence[Mapping[str, Any]]
    """`trajectory.TrajectoryRow`."""
    gains: Mapping[str, Mapping[str, float]]
    """Of each set of questions `value`, `low`, `high` (95 %): the last checkpoint's accuracy less the first's."""


@dataclass(frozen=True, kw_only=True)
class Perplexity:
    """Of question and answer, of one model on one task (Fig. 4c)."""

    model: str
    mode: str
    """`zero_shot`, or the recipe."""
    task: str
    value: float
    """A token: drawn as in the paper."""
    n: int
    source: str
    bits_per_byte: float | None = None
    """Of the same text, whichever the tokenizer: models are ranked by it where it is known."""
    low: float | None = None
    high: float | None = None
    """Of `value`, 95 %, by note."""


@dataclass(frozen=True, kw_only=True)
class Studied:
    """Everything that was evaluated so far on one hospital."""

    cells: Sequence[Cell]
    bases: Sequence[Base]
    """In the profile's order: the first one is the main variant."""
    split: str
    """The headline split."""
    test_splits: Sequence[str]
    scaled_task: str
    num_resamples: int
    seed: int
    trajectories: Sequence[Trajectory] = ()
    perplexities: Sequence[Perplexity] = ()
    strata: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    overlap: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Artifact -> rows of the analysis."""
    dependence: Sequence[Mapping[str, Any]] = ()
    missing: Sequence[str] = ()
    """Artifacts that the profile asks for and nobody has made."""
    split_titles: SplitTitles = field(default_factory=SplitTitles)

    @property
    def ours(self) -> Base:
        """The main variant: what the paper calls LANG1-1B."""
        return self.bases[0]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The paper's, those of them that anything was evaluated on."""
        evaluated = {row["task"] for cell in self.cells if cell.kind != "elsewhere" for row in cell.rows}
        return tuple(task for task in REMEDE if task in evaluated)

    def test_title(self, *tasks: str) -> str:
        """The headline split in prose, after "the": of these tasks, or of all."""
        return self.split_titles.test(self.split, tasks or self.tasks)

    @property
    def zero_shots(self) -> list[Cell]:
        return [cell for cell in self.of("variant", "outside", "served") if cell.trained_on is None]

    def of(self, *kinds: Kind) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind in kinds]

    def base(self, name: str) -> Base | None:
        return next((base for base in self.bases if base.name == name), None)

    def here(self, base: Base | None, mode: str) -> Sought:
        return self._sought(base, mode, "variant", f"{mode}_evaluation/{{}}")

    def there(self, base: Base | None, mode: str) -> Sought:
        return self._sought(base, mode, "elsewhere", f"elsewhere_evaluation/{{}}/{mode}")

    def _sought(self, base: Base | None, mode: str, kind: Kind, name: str) -> Sought:
        if base is None:
            return Sought(name="a variant of that kind in the profile", cell=None)
        trained_on = None if mode == "zero_shot" else mode
        found = (cell for cell in self.of(kind) if (cell.model, cell.trained_on) == (base.name, trained_on))
        return Sought(name=name.format(base.name), cell=next(found, None))

    def scaled(self, base: Base | None) -> list[Cell]:
        """Fewest labelled notes first, then fewest pretraining tokens.

        Without those that were to be finetuned on more labelled notes than there are: they are the one on all of them.
        """
        own = [cell for cell in self.of("scaled") if base is not None and cell.model == base.name]
        whole = {(cell.pretrain_tokens, cell.num_notes) for cell in own if cell.has_all_notes}
        found = [cell for cell in own if cell.has_all_notes or (cell.pretrain_tokens, cell.num_notes) not in whole]
        return sorted(found, key=lambda cell: (cell.num_notes or 0, cell.pretrain_tokens or 0))

    def finetuned(self, base: Base | None, task: str) -> Sought:
        """The joint model; where there is none, that of the task alone."""
        joint = self.here(base, JOINT)
        single = self.here(base, task)
        return single if joint.cell is None and single.cell is not None else joint

    def finetuned_alike(self, first: Base | None, second: Base | None, task: str) -> tuple[Sought, Sought]:
        """Both joint, or both on the task alone."""
        singles = self.here(first, task), self.here(second, task)
        joints = self.here(first, JOINT), self.here(second, JOINT)
        are_joint = all(found.cell for found in joints)
        return singles if not are_joint and all(found.cell for found in singles) else joints


def best_of(cells: Sequence[Cell], task: str, split: str) -> Cell | None:
    """The highest AUROC of those that were asked about at least `SHARE_OF_NOTES` of the notes; None without any."""
    return max(asked_about(cells, task, split), key=lambda cell: cell.auroc(task, split) or 0.0, default=None)


def asked_about(cells: Sequence[Cell], task: str, split: str) -> list[Cell]:
    """Those with an AUROC of at least `SHARE_OF_NOTES` as many notes as the most-asked one's."""
    rows = [(row, cell) for cell in cells if (row := cell.row(task, split)) is not None and row["value"] is not None]
    most = max((row["n"] for row, _ in rows), default=0)
    return [cell for row, cell in rows if row["n"] >= SHARE_OF_NOTES * most]
