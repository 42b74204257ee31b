"""What the studies of the paper's findings are made from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lang1_assets.settings.section import PositiveInt, Section

ELSEWHERE_TASKS = ("readmission", "mortality", "length_of_stay")
"""Those of the paper's five that it validates at another hospital (5.2.3)."""
ELSEWHERE_RECIPES = (
    *(f"elsewhere_{task}" for task in ELSEWHERE_TASKS),
    *(f"matched_{task}" for task in ELSEWHERE_TASKS),
)
"""Finetuned there; finetuned here on as many notes as there are there (figures M10, M11)."""


class Study(Section):
    """What `lang1 study` finetunes besides the demo's recipes."""

    finetuned: dict[str, tuple[str, ...]] = {}
    """Variant -> recipes: the cells of figures 2, 5, D4 and M10."""
    scaled_task: str = "readmission"
    """The task of figures 4a and 4b."""
    num_notes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (100, 1_000, 10_000, 100_000)
    """Labelled notes, each choice a subset of the next; all of them are taken as well."""
    scaled: dict[str, PositiveInt] = {}
    """Variant -> how many checkpoints of its trajectory are finetuned on each of `num_notes`, the last one among them; 1 is the
    last alone."""
    perplexity_notes: PositiveInt = 1_000
    """Notes of each task on which the perplexity of question and answer is measured (Fig. 4c)."""
    lanes: PositiveInt = 1
    """How many variants `lang1 study` works on side by side, each on its share of the cores; with a GPU one after another."""
