"""Each item of TRIPOD+AI as a function of the facts: what it says, or None where nothing was run that would tell.

The numbers are those of the checklist (Collins et al., BMJ 2024;385:e078378); what it asks is said here in fewer words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from lang1_assets.ops.model_card import tables
from lang1_assets.ops.model_card.facts import Facts
from lang1_assets.ops.model_card.tables import title
from lang1_assets.ops.tasks import TASKS

HOSPITAL = "Not in any file of this project: the hospital that uses the model says it here."


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that a reader of a prediction model asks."""

    number: str
    section: str
    topic: str
    answer: Callable[[Facts], str | None]
    asset: str = ""
    """Would measure what is not there."""


def source(facts: Facts) -> str:
    counted = ", ".join(f"{name} {value:,}" for name, value in facts.source.get("num_rows", {}).items())
    kind = facts.source["kind"]
    words = (
        "The embedded hospital, a simulation: synthetic records"
        if facts.is_synthetic
        else f"The hospital's own records ({kind})"
    )
    return f"{words}{': ' + counted if counted else ''}."


def dates(facts: Facts) -> str:
    if facts.cohorts["splits"] == "shares":
        return "Dates are shifted patient by patient; there are no true ones."
    lines = [
        f"- {name.replace('_', ' ')}: "
        + "; ".join(f"{split} {first} to before {last}" for split, (first, last) in held.items())
        for name, held in facts.cohorts["split_windows"].items()
    ]
    return "\n".join(["Windows of the discharge date:", "", *lines])


def eligibility(facts: Facts) -> str:
    return f"Stays of class {', '.join(facts.cohorts['stay_classes'])}. What each requirement left:\n\n{tables.flow(facts)}"


def outcome(facts: Facts) -> str:
    asked = [f"- **{title(task)}** (version {TASKS[task].version}): {TASKS[task].question}" for task in facts.tasks]
    return "\n".join(
        [
            "Labels come from the tables of the records (dates, dispositions, codes, claims), never from the note; the SQL as it "
            "was run is in the artifact `warehouse`. Nobody assessed an outcome by hand. The model is asked:",
            "",
            *asked,
        ]
    )


def predictors(facts: Facts) -> str:
    types = sorted({str(TASKS[task].note_type) for task in facts.tasks})
    cut = facts.settings.get("note_tokens")
    return (
        f"The text of one note ({', '.join(types)}), cleaned, its first {cut} tokens. No other variable: age, sex and race "
        "are seen only where the note says them."
    )


def leaks(facts: Facts) -> str | None:
    """Whether the note, or when it was written, gives the label away."""
    if not facts.leaks:
        return None
    lines = []
    for task in facts.tasks:
        checks = facts.leaks.get(task)
        failed = [f"{row['name'].replace('_', ' ')} ({row['message']})" for row in checks or () if not row["passed"]]
        words = "not checked" if checks is None else f"{len(checks) - len(failed)} of {len(checks)} checks passed"
        lines.append(f"- {title(task)}: {words}{'; failed: ' + '; '.join(failed) if failed else ''}")
    return "\n".join(lines)


def sample_size(facts: Facts) -> str:
    notes = facts.finetuned.get("train_notes", {})
    trained = ", ".join(f"{title(task)} {number:,}" for task, number in notes.items())
    return (
        "No size was calculated beforehand. Training notes, all that were there or as many as the longest run reads: "
        f"{trained or 'not counted'}."
    )


def missing_data(facts: Facts) -> str:
    return f"A note without text or label is left out (see the flow). Demographics are not imputed:\n\n{tables.missing(facts)}"


def partition(facts: Facts) -> str:
    by = facts.cohorts["split_by"]
    patients = (
        "A patient may be in several splits, as patients come back to a deployed model; item 23 has the test without them."
        if by == "note"
        else "A patient is in one split of the development window."
    )
    most = tables.cell(facts.record.get("parameters", {}).get("max_examples"))
    return (
        f"Splits {', '.join(facts.splits)}, by {by}. {patients} At most {most} notes of each test and task are scored. "
        f"Results are compared on `{facts.headline_split}`."
    )


def development(facts: Facts) -> str:
    base, tuned = facts.base, facts.finetuned

    def counted(name: str) -> str:
        return tables.cell(tuned.get(name))

    size = "unknown size" if base.get("num_parameters") is None else f"{base['num_parameters']:,} parameters"
    read = "" if not base.get("tokens") else f", {base['tokens']:,} tokens of {mixture(facts)}"
    lines = [
        f"- Base: {base['architecture']}, {base['origin']}, {size}{read}.",
        f"- Recipe `{facts.recipe}`: {what_learns(facts)}.",
        f"- Steps {counted('steps')}, examples {counted('examples_seen')}, tokens {counted('tokens_seen')}.",
        f"- {tables.chosen(facts)}.",
        f"- Learning rate {tuned.get('learning_rate', facts.settings.get('learning_rate'))}, {tables.searched(facts)}.",
    ]
    shown = (
        "global_batch_size",
        "betas",
        "eps",
        "weight_decay",
        "warmup_steps",
        "precision",
        "note_tokens",
        "max_steps",
    )
    values = {name: facts.settings[name] for name in shown if name in facts.settings}
    return "\n".join([*lines, f"- Settings: `{json.dumps(values)}`."])


def what_learns(facts: Facts) -> str:
    if facts.base["architecture"] == "encoder":
        return "all weights and a classification head"
    learning = "low-rank adapters" if facts.settings.get("lora") else "all weights"
    return f"{learning}, to answer the question with the letter of an option"


def mixture(facts: Facts) -> str:
    return (
        ", ".join(f"{name} (weight {weight:g})" for name, weight in facts.base["mixture"].items())
        or "text unknown here"
    )


def imbalance(facts: Facts) -> str:
    return f"Nothing is weighted or resampled within a task. Notes of each answer:\n\n{tables.outcomes(facts)}"


def fairness(facts: Facts) -> str | None:
    if facts.strata is None:
        return None
    worse = [
        f"{title(row['task'])}: {row['attribute'].replace('_', ' ')} {row['group']}"
        for row in facts.strata
        if row["is_worse"]
    ]
    said = (
        "Groups below the notes of all others (5 %, Bonferroni within an attribute): "
        + ("; ".join(worse) or "none")
        + "."
    )
    return f"{said} Nothing in training aims at equal performance."


def output(facts: Facts) -> str:
    return (
        "A probability of each option; no threshold is set. Net benefit at risks of 5, 10 and 20 % is in `rows.json`."
    )


def performance(facts: Facts) -> str:
    return tables.performance(facts.rows)


def calibrated(facts: Facts) -> str:
    return f"On `{facts.headline_split}`; the probabilities are not recalibrated.\n\n{tables.calibration(facts)}"


def subgroups(facts: Facts) -> str | None:
    return None if facts.strata is None else tables.subgroups(facts.strata)


def patients_seen(facts: Facts) -> str | None:
    return None if facts.overlap is None else tables.overlap(facts.overlap)


def other_hospital(facts: Facts) -> str | None:
    return None if facts.elsewhere is None else tables.performance(facts.elsewhere)


def memorized(facts: Facts) -> str | None:
    return None if facts.memorization is None else f"Of the base: {facts.memorization}."


def specification(facts: Facts) -> str:
    lines = [
        f"- MLflow: `{facts.registered}`; run `{facts.finetuned.get('mlflow_run_id', 'unknown')}`, evaluation run "
        f"`{facts.record.get('mlflow_run_id', 'unknown')}`",
        f"- Files: artifact `finetuned_{facts.recipe}/{facts.variant}`, folder `model` (safetensors, tokenizer, configuration)",
        *(
            f"- SHA-256 of the {name}: `{facts.record[f'{name}_sha256']}`"
            for name in ("model", "tokenizer")
            if f"{name}_sha256" in facts.record
        ),
        *(f"- Fingerprint of {name}: `{value}`" for name, value in facts.fingerprints.items()),
        "- Versions: " + ", ".join(f"{name} {value}" for name, value in facts.record.get("versions", {}).items()),
    ]
    return "\n".join(lines)


def limits(facts: Facts) -> str:
    known = [
        "One hospital's records"
        + (", and those are simulated: no number here is about real patients" if facts.is_synthetic else ""),
        "the note is cut: what stands further down is not read",
        *(["a return to another hospital is not seen"] if "readmission" in facts.tasks else []),
        "probabilities follow the prevalence of the training years",
    ]
    return "; ".join(known) + "."


def intended(facts: Facts) -> str:
    return (
        "Research on operational predictions from notes: "
        + ", ".join(title(task) for task in facts.tasks)
        + ". Not for decisions about a patient: nobody has tested what its use does to care."
    )


def poor_input(facts: Facts) -> str:
    return (
        "A short, empty or foreign note gets an answer like any other; the model says nothing of its own uncertainty."
    )


def next_steps(facts: Facts) -> str:
    return "Month by month: the assets `temporal_drift` and `landed_evaluation`; before service: `model_in_service`, a paired test."


METHODS, RESULTS, DISCUSSION, OPEN = "Methods", "Results", "Discussion", "Open science"

ITEMS: tuple[Item, ...] = (
    Item(number="3, 4", section="Use", topic="Intended use", answer=intended),
    Item(number="5a", section=METHODS, topic="Source of data", answer=source),
    Item(number="5b", section=METHODS, topic="Dates", answer=dates),
    Item(number="6, 20a", section=METHODS, topic="Participants and who was left out", answer=eligibility),
    Item(number="8", section=METHODS, topic="Outcome and how it was labelled", answer=outcome),
    Item(number="9", section=METHODS, topic="Predictors", answer=predictors),
    Item(number="9", section=METHODS, topic="Does the note know the answer", answer=leaks, asset="TASK_examples"),
    Item(number="10", section=METHODS, topic="Sample size", answer=sample_size),
    Item(number="11", section=METHODS, topic="Missing data", answer=missing_data),
    Item(number="12a", section=METHODS, topic="How the data were split", answer=partition),
    Item(number="12c", section=METHODS, topic="How the model was developed", answer=development),
    Item(number="13, 21", section=METHODS, topic="Class imbalance and numbers of outcomes", answer=imbalance),
    Item(number="14", section=METHODS, topic="Fairness", answer=fairness, asset="strata"),
    Item(number="15", section=METHODS, topic="Output", answer=output),
    Item(number="17", section=METHODS, topic="Ethical approval", answer=lambda facts: HOSPITAL),
    Item(number="18a, b", section=OPEN, topic="Funding and conflicts of interest", answer=lambda facts: HOSPITAL),
    Item(number="19", section=OPEN, topic="Patient and public involvement", answer=lambda facts: HOSPITAL),
    Item(number="20b", section=RESULTS, topic="Who the participants are", answer=tables.participants),
    Item(number="22", section=RESULTS, topic="The model: how to get it", answer=specification),
    Item(number="23a", section=RESULTS, topic="Performance", answer=performance),
    Item(number="23a", section=RESULTS, topic="Calibration", answer=calibrated),
    Item(number="23a", section=RESULTS, topic="Subgroups", answer=subgroups, asset="strata"),
    Item(
        number="23b",
        section=RESULTS,
        topic="Patients that it has seen before",
        answer=patients_seen,
        asset="patient_overlap",
    ),
    Item(number="-", section=RESULTS, topic="Transfer, not trained for it", answer=tables.transfer),
    Item(number="23b", section=RESULTS, topic="Another hospital", answer=other_hospital, asset="elsewhere_evaluation"),
    Item(
        number="-",
        section=RESULTS,
        topic="What it repeats of its training text",
        answer=memorized,
        asset="memorization",
    ),
    Item(number="26", section=DISCUSSION, topic="Limits", answer=limits),
    Item(number="27a", section=DISCUSSION, topic="Poor input", answer=poor_input),
    Item(number="27c", section=DISCUSSION, topic="Afterwards", answer=next_steps),
)
