"""How long entries of an agenda take: measured here as soon as there is anything to measure, and estimated until then."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lang1_assets.cli.lanes import Entry

USUAL_SECONDS: dict[str, float] = {
    "records": 63.1,
    "label_dependence": 0.8,
    "elsewhere_readmission_examples": 0.3,
    "elsewhere_mortality_examples": 0.4,
    "elsewhere_length_of_stay_examples": 0.4,
    "pretrained_model": 361.6,
    "zero_shot_evaluation": 51.9,
    "trajectory_evaluation": 24.4,
    "finetuned_joint": 684.5,
    "joint_evaluation": 61.7,
    "finetuned_readmission": 105.9,
    "readmission_evaluation": 14.2,
    "finetuned_mortality": 134.7,
    "mortality_evaluation": 35.9,
    "finetuned_length_of_stay": 129.2,
    "length_of_stay_evaluation": 16.6,
    "finetuned_comorbidity": 154.4,
    "comorbidity_evaluation": 39.8,
    "finetuned_insurance_denial": 119.0,
    "insurance_denial_evaluation": 10.9,
    "finetuned_elsewhere_readmission": 122.5,
    "finetuned_elsewhere_mortality": 142.9,
    "finetuned_elsewhere_length_of_stay": 154.8,
    "finetuned_matched_readmission": 123.5,
    "elsewhere_evaluation": 35.1,
    "answer_perplexity": 16.2,
    "scaled_model": 669.1,
    "scaled_evaluation": 32.7,
    "strata": 21.1,
    "patient_overlap": 4.8,
    "temporal_drift": 6.4,
    "memorization": 13.4,
    "baseline_evaluation": 24.4,
    "outside_evaluation": 54.5,
    "leaderboard": 9.3,
    "zero_shot_comparison": 4.1,
    "finetuned_comparison": 3.8,
    "emergence": 1.3,
    "token_budget": 0.9,
    "data_efficiency": 1.6,
    "answer_perplexity_study": 1.5,
    "transfer": 2.4,
    "other_hospital": 1.4,
    "temporal_decay": 2.6,
    "ablations": 2.2,
    "calibration": 2.0,
    "claims": 1.5,
    "model_in_service": 1.6,
    "model_card": 0.6,
    "report": 8.1,
}
"""Of each asset in one run of the profile `tiny`, a core a lane, medians. Only their ratios count: from what was made here already
they say what the rest will take."""


@dataclass(kw_only=True)
class Clock:
    """How long entries take, for the progress line; what was measured is kept for the next time."""

    file: Path
    known: dict[str, float] = field(default_factory=dict)
    """Title of an entry -> seconds."""

    @staticmethod
    def read(file: Path) -> Clock:
        try:
            return Clock(file=file, known=json.loads(file.read_text()))
        except (OSError, ValueError):
            return Clock(file=file)

    def note(self, entry: Entry, seconds: float, *, reused: bool) -> None:
        """What was reused says nothing of how long it takes to make."""
        if not reused:
            self.known[entry.title] = round(seconds, 1)
            beside = self.file.with_suffix(".tmp")
            beside.write_text(json.dumps(self.known, indent=1))
            beside.rename(self.file)

    def left(self, entries: Sequence[Entry]) -> float | None:
        """Seconds that some entries will take: of the same before, else of the same asset, else by what is usual elsewhere."""
        if not self.known:
            return None
        by_asset: dict[str, list[float]] = {}
        for title, seconds in self.known.items():
            by_asset.setdefault(title.split(",")[0], []).append(seconds)
        here = {asset: statistics.median(found) for asset, found in by_asset.items()}
        elsewhere = self._scaled(here)
        any_asset = statistics.fmean((elsewhere | here).values())
        return sum(
            self.known.get(entry.title, here.get(entry.asset, elsewhere.get(entry.asset, any_asset)))
            for entry in entries
        )

    def _scaled(self, here: dict[str, float]) -> dict[str, float]:
        """The usual seconds of a machine and models like these; nothing where no asset can be compared."""
        both = here.keys() & USUAL_SECONDS.keys()
        usual = sum(USUAL_SECONDS[asset] for asset in both)
        scale = sum(here[asset] for asset in both) / usual if usual else 0.0
        return {asset: seconds * scale for asset, seconds in USUAL_SECONDS.items()} if scale else {}
