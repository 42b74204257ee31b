"""The tables and lists of a card, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lang1_assets.ops.model_card.facts import DEMOGRAPHICS, Facts, Rows
from lang1_assets.ops.results import METRICS
from lang1_assets.ops.tasks import TASKS

DASH = "\N{EN DASH}"
CALIBRATION = ("ece_top_class", "ece_positive", "calibration_slope", "calibration_in_the_large", "brier")


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)])


def cell(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")


def title(task: str) -> str:
    return TASKS[task].title if task in TASKS else task


def with_interval(row: Mapping[str, Any], low: str = "low", high: str = "high") -> str:
    if row["value"] is None:
        return DASH
    interval = "" if row.get(low) is None else f" ({row[low]:.3f} {DASH} {row[high]:.3f})"
    return f"{row['value']:.3f}{interval}"


def performance(rows: Rows) -> str:
    """AUROC of each task and test, intervals by note and by patient."""
    return table(
        ["task", "test", "notes", "AUROC (95 %, by note)", "by patient", "the oracle's"],
        [
            [
                title(row["task"]),
                row["split"],
                row["n"],
                with_interval(row),
                with_interval(row, "low_by_patient", "high_by_patient"),
                row.get("oracle"),
            ]
            for row in rows
            if row["metric"] == "auroc"
        ],
    )


def transfer(facts: Facts) -> str:
    """AUROC of what it is not for: apart, so that nobody takes it for what the model predicts."""
    if not facts.transfer:
        return "Not asked: it was evaluated on what it was finetuned on alone."
    return (
        "Not what the model is for. It was not finetuned on these tasks; it was asked them to see what carries over from one "
        f"task to another.\n\n{performance(facts.transfer)}"
    )


def calibration(facts: Facts) -> str:
    rows = []
    for task in facts.tasks:
        found = {
            row["metric"]: row for row in facts.rows if (row["task"], row["split"]) == (task, facts.headline_split)
        }
        if found:
            rows.append([title(task), *(with_interval(found[name]) if name in found else None for name in CALIBRATION)])
    return table(["task", *(METRICS[name] for name in CALIBRATION)], rows)


def flow(facts: Facts) -> str:
    """What each requirement left (CONSORT)."""
    return table(
        ["task", "requirement", "notes left", "stays left", "patients left"],
        [
            [
                title(row["task"]),
                row["step"],
                row["num_notes_left"],
                row["num_encounters_left"],
                row["num_patients_left"],
            ]
            for row in facts.attrition
        ],
    )


def participants(facts: Facts) -> str:
    return table(
        ["task", "split", "from", "to", "notes", "patients", "mean age", "female"],
        [
            [
                title(row["task"]),
                row["split"],
                row["first_time"],
                row["last_time"],
                row["num_notes"],
                row["num_patients"],
                None if row["mean_age"] is None else f"{row['mean_age']:.1f}",
                percent(row["share_female"]),
            ]
            for row in facts.people
        ],
    )


def outcomes(facts: Facts) -> str:
    """Notes of each answer in each split."""
    return table(
        ["task", "split", "answer", "notes", "patients"],
        [
            [title(row["task"]), row["split"], answer(row), row["num_notes"], row["num_patients"]]
            for row in sorted(
                facts.counts, key=lambda row: (row["task"], facts.splits.index(row["split"]), row["label"])
            )
        ],
    )


def answer(row: Mapping[str, Any]) -> str:
    options = TASKS[row["task"]].options if row["task"] in TASKS else ()
    return options[row["label"]] if row["label"] < len(options) else f"label {row['label']}"


def missing(facts: Facts) -> str:
    return table(
        ["task", "split", *(f"no {name}" for name in DEMOGRAPHICS)],
        [
            [title(row["task"]), row["split"], *(row[f"missing_{name}"] for name in DEMOGRAPHICS)]
            for row in facts.people
        ],
    )


def subgroups(rows: Rows) -> str:
    """Of each attribute the group with the lowest AUROC and that with the highest, and how many had too few notes."""
    shown = []
    for task, attribute in dict.fromkeys((row["task"], row["attribute"]) for row in rows if row["attribute"] != "all"):
        groups = [row for row in rows if (row["task"], row["attribute"]) == (task, attribute)]
        known = sorted((row for row in groups if row["value"] is not None), key=lambda row: row["value"])
        if not known:
            shown.append([title(task), attribute.replace("_", " "), None, None, len(groups), None])
            continue
        worse = ", ".join(row["group"] for row in known if row["is_worse"])
        ends = [f"{row['group']}: {with_interval(row)}, {row['n']:,} notes" for row in (known[0], known[-1])]
        shown.append([title(task), attribute.replace("_", " "), *ends, len(groups) - len(known), worse or "none"])
    return table(
        ["task", "group by", "lowest AUROC", "highest AUROC", "groups too small", "worse than the others"], shown
    )


def overlap(rows: Rows) -> str:
    return table(
        ["task", "patients", "notes", "AUROC (95 %)", "mean age"],
        [[title(row["task"]), row["group"], row["n"], with_interval(row), row["mean_age"]] for row in rows],
    )


def percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def chosen(facts: Facts) -> str:
    """The step whose weights these are, and whether the run ended before its last one."""
    tuned, asked = facts.finetuned, facts.settings["max_steps"]
    taken, most = tuned["steps"], tuned["max_steps"]
    shorter = "" if most == asked else f" ({facts.settings['max_epochs']:g} passes over its notes)"
    return (
        f"Chosen by micro-AUROC on validation ({tuned['best_val_micro_auroc']:.3f}) at step {cell(tuned['best_step'])} of "
        f"{cell(most)}{shorter}; {f'stopped early at step {cell(taken)}' if taken < most else 'all were taken'}"
    )


def searched(facts: Facts) -> str:
    """Every trial of the learning rate."""
    if not facts.search:
        return "not searched"
    tried = "; ".join(f"{trial['learning_rate']:.2e}: {trial['val_micro_auroc']:.3f}" for trial in facts.search)
    return f"searched in {len(facts.search)} trials (rate: validation micro-AUROC; {tried})"
