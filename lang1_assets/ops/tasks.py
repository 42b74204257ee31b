"""The five ReMedE tasks as data: which note, what is asked, which options (paper 5.2.2 and appendix H).

A task is data, not code: a new one is an entry here plus a cohort model in `dbt_notes`.
"""

from __future__ import annotations

from dataclasses import dataclass

OPTION_LETTERS = "ABCDE"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One multiple-choice prediction task."""

    name: str
    """Its key in files, metrics and partitions."""
    title: str
    """Its name in print."""
    note_type: str
    """The note it reads, one of `schemas.NOTE_TYPES`."""
    question: str
    """The question of appendix H, without options."""
    options: tuple[str, ...]
    """The answers in the order of the labels: option A is label 0."""
    version: int = 1
    """Raised when question, options or cohort change, so that results are never mixed."""

    @property
    def num_classes(self) -> int:
        return len(self.options)

    @property
    def letters(self) -> str:
        return OPTION_LETTERS[: len(self.options)]

    @property
    def question_block(self) -> str:
        """What follows the note: question, options, and the cue for the letter (appendix H)."""
        options = "\n".join(f"{letter}. {text}" for letter, text in zip(self.letters, self.options, strict=True))
        return f"Question: {self.question}\n{options}\nAnswer:"


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="readmission",
            title="30-day readmission",
            note_type="discharge",
            question="Given the above discharge note of the patient, will the patient be readmitted to the hospital "
            "within 30 days of discharge?",
            options=("no", "yes"),
        ),
        Task(
            name="mortality",
            title="In-hospital mortality",
            note_type="hp",
            question="Given the above admission note of the patient, will the patient die during the hospital "
            "admission?",
            options=("no", "yes"),
        ),
        Task(
            name="length_of_stay",
            title="Length of stay",
            note_type="hp",
            question="Given the above admission note of the patient, how long will the patient stay at the hospital?",
            options=("0 to 2 days", "3 days", "4 to 5 days", "more than 5 days"),
        ),
        Task(
            name="comorbidity",
            title="Charlson comorbidity index",
            note_type="hp",
            question="Given the above admission note of the patient, what's the Charlson Comorbidity Index of the "
            "patient?",
            # Appendix H prints D as "score 4 to 7"; the bin is 5 to 7 (5.2.2), and the prompt is kept as published.
            options=("score 0", "score 1 to 2", "score 3 to 4", "score 4 to 7", "score more than 7"),
        ),
        Task(
            name="insurance_denial",
            title="Insurance denial",
            note_type="hp",
            # The paper's prompt says "discharge note" although its data are H&P notes (5.2.2); kept as published.
            question="Given the above discharge note of the patient, will the insurance claim of the patient be "
            "denied?",
            options=("no", "yes"),
        ),
    )
}
