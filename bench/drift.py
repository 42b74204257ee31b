"""How often the checks of drift fail in a hospital where nothing changes, and how often they notice what does.

Months are drawn from the very distribution of the reference: five tasks of two, four and five classes as rare as the paper's,
patients with several notes of like labels and scores. Each reference is followed by several months, as in service; intervals of
the rates are of resampled references, as months with one reference are alike.

Run: `.venv/bin/python bench/drift.py [--references N]`. Writes `bench/results/drift.md` and `.json`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import contest
import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.drift.inputs import TESTED, text_rows
from lang1_assets.ops.drift.month import TextReference, text_reference
from lang1_assets.ops.drift.performance import Sample, performance_rows, sample
from lang1_assets.ops.drift.rows import AUROC, GAP, DriftRow, Scored
from lang1_assets.ops.drift.verdict import Material, drop_verdict, inputs_verdict
from lang1_assets.ops.drift.words import counted
from lang1_assets.settings.drift import Drift

SHARES: dict[str, tuple[float, ...]] = {
    "readmission": (0.89, 0.11),
    "mortality": (0.97, 0.03),
    "length_of_stay": (0.42, 0.17, 0.18, 0.23),
    "comorbidity": (0.69, 0.12, 0.08, 0.06, 0.05),
    "insurance_denial": (0.88, 0.12),
}
SIGNAL = {2: 1.0, 4: 1.0, 5: 1.0}
"""Number of classes -> how far the truth moves a score, in standard deviations; with two classes the AUROC is the normal
distribution at it, 0.84 at 1."""
REFERENCE_NOTES = 3_000
MONTH_NOTES = {150: 1.0, 400: 1.0, 1_500: 0.2}
"""Notes of each task in a month -> how many of the references it is asked of: large months take their time."""
MONTHS_OF_A_REFERENCE = 12
HOW = Measuring(min_notes=50, min_events=10, num_resamples=300, seed=3407)
LEVELS = (0.01, 0.05)
WORDS_OF_A_NOTE, VOCABULARY = 80, 4_000
SEED = 3407
Generator = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Change:
    """What becomes of readmission in a month; of the other tasks nothing does."""

    name: str
    weaker: float = 1.0
    """Times the signal."""
    odds: float = 1.0
    """Times the odds that the model gives the outcome."""


NOTHING = Change(name="nothing")
CHANGES = (
    NOTHING,
    Change(name="AUROC of readmission 0.84 to 0.80", weaker=0.84),
    Change(name="AUROC of readmission 0.84 to 0.73", weaker=0.6),
    Change(name="odds of readmission 1.5 times too high", odds=1.5),
    Change(name="odds of readmission 2 times too high", odds=2.0),
)


def scored(task: str, n: int, rng: Generator, change: Change = NOTHING) -> pl.DataFrame:
    """n notes of about n / 1.3 patients, whose labels and scores are alike."""
    shares = np.array(SHARES[task])
    k = len(shares)
    patients = rng.integers(0, max(1, round(n / 1.3)), n)
    usual = rng.choice(k, n, p=shares)[patients]
    labels = np.where(rng.random(n) < 0.3, usual, rng.choice(k, n, p=shares))
    mine = task == "readmission"
    signal = SIGNAL[k] * (change.weaker if mine else 1.0)
    scores = 0.6 * rng.normal(size=(n, k))[patients] + 0.8 * rng.normal(size=(n, k)) + signal * np.eye(k)[labels]
    # The right weight while nothing changes, so that the model is calibrated.
    logits = SIGNAL[k] * scores + np.log(shares)
    logits[:, 1] += np.log(change.odds) if mine else 0.0
    chances = np.exp(logits)
    chances /= chances.sum(axis=1, keepdims=True)
    return pl.DataFrame(
        {
            "note_id": np.arange(n).astype(str),
            "subject_id": patients.astype(str),
            "task": task,
            "split": "landed",
            "label": labels.astype(np.int32),
            "probabilities": chances.tolist(),
        }
    )


def head_of(task: str) -> Scored:
    return {"month": "2025-01", "task": task, "model": "m", "variant": "m"}


def month_rows(references: Mapping[str, Sample], n: int, rng: Generator, change: Change) -> list[DriftRow]:
    how = replace(HOW, seed=int(rng.integers(2**31)))
    return [
        row
        for task, reference in references.items()
        for row in performance_rows(
            head_of(task), sample(scored(task, n, rng, change), how, with_slope=False), reference
        )
        if row["statistic"] in (AUROC, GAP)
    ]


def failures(n: int, change: Change, num_references: int, seed: int) -> NDArray[np.bool_]:
    """(references, months, levels): which months fail."""
    found = []
    for number in range(num_references):
        rng = np.random.default_rng([seed, n, number])
        how = replace(HOW, seed=number)
        references = {task: sample(scored(task, REFERENCE_NOTES, rng), how, with_slope=False) for task in SHARES}
        months = [month_rows(references, n, rng, change) for _ in range(MONTHS_OF_A_REFERENCE)]
        found.append([[bool(drop_verdict(rows, "m", level).worse) for level in LEVELS] for rows in months])
    return np.array(found)


def notes(n: int, rng: Generator) -> pl.DataFrame:
    """At least n notes of patients who have words of their own, of a language whose k-th word is 1 / k as frequent as the first."""
    everywhere = 1 / np.arange(1, VOCABULARY + 1)
    everywhere /= everywhere.sum()
    texts: list[str] = []
    patients: list[str] = []
    while len(texts) < n:
        own, patient = rng.integers(0, VOCABULARY, 12), str(len(texts))
        for _ in range(int(rng.integers(1, 4))):
            length = max(5, int(rng.lognormal(np.log(WORDS_OF_A_NOTE), 0.4)))
            common = rng.choice(VOCABULARY, length, p=everywhere)
            places = np.where(rng.random(length) < 0.2, rng.choice(own, length), common)
            texts.append(" ".join(spelled(int(place)) for place in places))
            patients.append(patient)
    return pl.DataFrame({"subject_id": patients, "text": texts})


def spelled(place: int) -> str:
    """A word of letters for a number."""
    return "".join("abcdefghij"[int(digit)] for digit in str(place))


def num_letters(texts: Sequence[str]) -> NDArray[np.int64]:
    """In the place of tokens."""
    return np.array([len(text) for text in texts], dtype=np.int64)


def input_rows(reference: TextReference, n: int, rng: Generator) -> list[DriftRow]:
    month = counted(notes(n, rng), reference.vocabulary, num_letters)
    how = replace(HOW, seed=int(rng.integers(2**31)))
    return text_rows(head_of("readmission"), month, reference.counts, how)


def input_failures(n: int, num_references: int, seed: int) -> tuple[NDArray[np.bool_], dict[str, float]]:
    """(references, months): which months of one task fail; and of each number how often its p-value is at most 5 %."""
    material = Material(**Drift().model_dump(exclude={"false_alarm_rate", "reference_notes"}))
    found: list[list[bool]] = []
    small: dict[str, list[bool]] = {}
    for number in range(num_references):
        rng = np.random.default_rng([seed, n, number])
        reference = text_reference(notes(REFERENCE_NOTES, rng), num_letters)
        months = [input_rows(reference, n, rng) for _ in range(MONTHS_OF_A_REFERENCE)]
        found.append([bool(inputs_verdict(rows, material, HOW.num_resamples).changed) for rows in months])
        for row in (row for rows in months for row in rows if row["statistic"] in TESTED):
            small.setdefault(row["statistic"], []).append((row["p_value"] or 0.0) <= 0.05)
    return np.array(found), {name: float(np.mean(values)) for name, values in small.items()}


def rate(failed: NDArray[np.bool_]) -> dict[str, float]:
    """The share of months (references, months) that fail, with a 95 % interval of resampled references."""
    rng = np.random.default_rng(1)
    by_reference = failed.mean(axis=1)
    drawn = by_reference[rng.integers(0, len(by_reference), (2_000, len(by_reference)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return {"value": float(failed.mean()), "low": low, "high": high, "months": failed.size}


def measured(num_references: int, progress: Callable[[str], None]) -> dict[str, Any]:
    drops = []
    for n in MONTH_NOTES:
        for change in CHANGES:
            share = MONTH_NOTES[n] if change is NOTHING else 0.1
            failed = failures(n, change, max(4, round(share * num_references)), SEED)
            rates = {str(level): rate(failed[:, :, place]) for place, level in enumerate(LEVELS)}
            drops.append({"notes": n, "change": change.name, "rates": rates})
            progress(f"{n} notes, {change.name}: {rates['0.01']['value']:.3f}")
    inputs: list[dict[str, Any]] = []
    for n in (150, 400):
        failed, small = input_failures(n, max(4, num_references // 5), SEED)
        inputs.append({"notes": n, "rate": rate(failed), "small": small})
        progress(f"inputs, {n} notes: {inputs[-1]['rate']['value']:.3f}")
    return {"drops": drops, "inputs": inputs}


def report(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"References of {REFERENCE_NOTES:,} notes a task, {MONTHS_OF_A_REFERENCE} months each; {HOW.num_resamples} resamples.",
        "",
        "## `no_significant_drop`: months that fail, five tasks and up to ten tests together",
        "",
        "| notes of a task | what has changed | at 1 % | at 5 % | months |",
        "|---:|---|---:|---:|---:|",
    ]
    for row in found["drops"]:
        first, second = row["rates"]["0.01"], row["rates"]["0.05"]
        lines.append(f"| {row['notes']:,} | {row['change']} | {shown(first)} | {shown(second)} | {first['months']:,} |")
    lines += ["", "## `inputs_as_before`: one task whose notes are as before", ""]
    lines += ["| notes | months that fail | months | p-values of at most 5 %, by number |", "|---:|---:|---:|---|"]
    for row in found["inputs"]:
        shares = ", ".join(f"{name} {value:.1%}" for name, value in row["small"].items())
        lines.append(f"| {row['notes']:,} | {shown(row['rate'])} | {row['rate']['months']:,} | {shares} |")
    return lines


def shown(one: Mapping[str, float]) -> str:
    return f"{one['value']:.1%} ({one['low']:.1%} to {one['high']:.1%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=40)
    found = measured(parser.parse_args().references, print)
    contest.write_results("drift", found, report(found))


if __name__ == "__main__":
    main()
