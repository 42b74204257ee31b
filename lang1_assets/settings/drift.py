"""When a model in service is said to be worse than it was, and its inputs to be others (docs/drift.md)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lang1_assets.settings.section import Fraction, NotNegative, PositiveInt, Section


class Drift(Section):
    """Months as they land against the test that the model was put in service with; how groups are left out is `analyze`'s, how
    many resamples there are `evaluate`'s."""

    false_alarm_rate: Fraction = 0.01
    """Of `no_significant_drop`: the chance that a month fails it although nothing has changed, all tasks of a model together."""
    reference_notes: PositiveInt = 20_000
    """Notes of each task whose words are counted for the reference, of patients chosen by a seeded hash."""
    words: NotNegative = 0.2
    """Change of the median number of words of a note that matters, as a share of the reference's."""
    tokens_per_word: NotNegative = 0.1
    """Change of the tokens per word that matters, as a share of the reference's."""
    unseen_words: NotNegative = 0.01
    """Words never seen, as a share of all, above that of random patients of the reference, that matter."""
    word_distance: NotNegative = 0.05
    """Distance of the words above that of random patients of the reference that matters."""
    score_stability: NotNegative = 0.1
    """Stability index of the score above that of random patients of the reference that matters (Siddiqi 2006: 0.1 a little)."""
    notes: Annotated[float, Field(gt=1)] = 2.0
    """Times as many notes as the months before, or as few, that matter."""
