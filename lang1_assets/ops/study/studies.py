"""Every study of the paper: its figures, and the claims that they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lang1_assets.ops.study import (
    ablations,
    answer_perplexity,
    calibration,
    comparisons,
    emergence,
    label_claims,
    other_hospital,
    scaling,
    temporal_decay,
    transfer,
)
from lang1_assets.ops.study.cells import Studied
from lang1_assets.ops.study.claim import Claim, Judged
from lang1_assets.ops.study.evidence import CANNOT_TELL, Question, judge
from lang1_assets.ops.study.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Study:
    """One asset."""

    name: str
    paper: str
    description: str
    figures: Callable[[Studied], tuple[Figure, ...]] | None
    """None where the figure is an analysis with an asset of its own."""
    questions: Sequence[Question]


STUDIES: tuple[Study, ...] = (
    Study(
        name="zero_shot_comparison",
        paper="Fig. 2a",
        description="Every model as it is, on every task",
        figures=comparisons.zero_shot_figures,
        questions=comparisons.ZERO_SHOT_QUESTIONS,
    ),
    Study(
        name="finetuned_comparison",
        paper="Fig. 2b",
        description="The best zero-shot model of each task, classical baselines and every finetuned variant",
        figures=comparisons.finetuned_figures,
        questions=comparisons.FINETUNED_QUESTIONS,
    ),
    Study(
        name="emergence",
        paper="Fig. 3a, 3b",
        description="Comprehension and zero-shot AUROC along the checkpoints of pretraining",
        figures=emergence.figures,
        questions=emergence.QUESTIONS,
    ),
    Study(
        name="token_budget",
        paper="Fig. 4a",
        description="AUROC against pretraining and finetuning tokens together",
        figures=scaling.token_budget_figures,
        questions=scaling.TOKEN_BUDGET_QUESTIONS,
    ),
    Study(
        name="data_efficiency",
        paper="Fig. 4b",
        description="AUROC against labelled notes, of each base",
        figures=scaling.data_efficiency_figures,
        questions=scaling.DATA_EFFICIENCY_QUESTIONS,
    ),
    Study(
        name="answer_perplexity_study",
        paper="Fig. 4c",
        description="Perplexity of question and answer against AUROC",
        figures=answer_perplexity.figures,
        questions=answer_perplexity.QUESTIONS,
    ),
    Study(
        name="transfer",
        paper="Fig. 5a, C3",
        description="Models finetuned on one task, on all tasks",
        figures=transfer.figures,
        questions=transfer.QUESTIONS,
    ),
    Study(
        name="other_hospital",
        paper="Fig. 5b, M10, M11",
        description="Finetuned here, there, and here on as many notes as there are there; tested there",
        figures=other_hospital.figures,
        questions=other_hospital.QUESTIONS,
    ),
    Study(
        name="temporal_decay",
        paper="Fig. A2",
        description="Finetuned models on tests ever further from the training years",
        figures=temporal_decay.figures,
        questions=temporal_decay.QUESTIONS,
    ),
    Study(
        name="ablations",
        paper="Fig. D4",
        description="Size, text and architecture of pretraining, after finetuning",
        figures=ablations.figures,
        questions=ablations.QUESTIONS,
    ),
    Study(
        name="calibration",
        paper="Fig. E5",
        description="Reliability curves of the finetuned models",
        figures=calibration.figures,
        questions=calibration.QUESTIONS,
    ),
)
ANALYSES: tuple[Study, ...] = (
    Study(
        name="label_dependence",
        paper="Fig. F6",
        description="Length of stay and death",
        figures=None,
        questions=label_claims.DEPENDENCE_QUESTIONS,
    ),
    Study(
        name="strata",
        paper="Fig. K8",
        description="Groups of patients",
        figures=None,
        questions=label_claims.STRATA_QUESTIONS,
    ),
    Study(
        name="patient_overlap",
        paper="Fig. L9",
        description="Patients seen in training",
        figures=None,
        questions=label_claims.OVERLAP_QUESTIONS,
    ),
)
CLAIMS: tuple[Claim, ...] = tuple(question.claim for study in (*STUDIES, *ANALYSES) for question in study.questions)


def judged(study: Study, studied: Studied) -> list[Judged]:
    return [judge(question, studied, study.name) for question in study.questions]


def to_json(judged: Judged) -> dict[str, Any]:
    return {**asdict(judged), "details": list(judged.details), "sources": list(judged.sources)}


def from_json(values: dict[str, Any]) -> Judged:
    return Judged(
        **{
            **values,
            "claim": Claim(**values["claim"]),
            "details": tuple(values["details"]),
            "sources": tuple(values["sources"]),
        }
    )


def unjudged(study: Study) -> list[Judged]:
    """Of a study that was not made."""
    why = f"The study {study.name} was not made."
    return [
        Judged(claim=question.claim, verdict=CANNOT_TELL, numbers=why, figure=study.name)
        for question in study.questions
    ]
