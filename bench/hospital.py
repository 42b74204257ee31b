"""How fast the synthetic hospital writes notes, against the requirement and against a plain Python loop.

Run: `.venv/bin/python bench/hospital.py [num_encounters]`. Writes `bench/results/hospital.json` and `.md`.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np

from lang1_assets.ops.hospital import HospitalConfig, write_exports
from lang1_assets.ops.hospital import phrases_admission as phrases
from lang1_assets.ops.hospital.admission_note import admission_texts
from lang1_assets.ops.hospital.conditions import CONCEPTS
from lang1_assets.ops.hospital.encounters import build_hospital
from lang1_assets.ops.hospital.scenarios import SCENARIOS
from lang1_assets.ops.hospital.simulate import Visits
from lang1_assets.ops.hospital.wording import Pen

REQUIRED_NOTES_PER_SECOND = 3_000
RESULTS = Path(__file__).parent / "results"


def naive_admission_note(visits: Visits, row: int, rng: np.random.Generator) -> str:
    """One narrative note from the same wordings, put together by string formatting."""

    def said(level: tuple[str, str, str]) -> str:
        wordings = level[0].split("|")
        return wordings[rng.integers(len(wordings))]

    level = {name: int(values[row]) for name, values in visits.facts.items()}
    scenario = SCENARIOS[visits.people.scenario[row]]
    history = [said((concept.long, "", "")) for concept in CONCEPTS if rng.random() < 0.1]
    return (
        f"{visits.people.age[row]}-year-old {'woman' if visits.sex[row] == 0 else 'man'} presents with "
        f"{said((scenario.long, '', ''))}. Past medical history: {', '.join(history)}. "
        f"{said(phrases.SEVERITY[level['severity']])}. Vital signs T {98.6 + rng.normal():.1f} "
        f"HR {rng.integers(60, 120)} BP {rng.integers(90, 150)}/{rng.integers(50, 90)} "
        f"RR {rng.integers(12, 26)} SpO2 {rng.integers(88, 100)}%. "
        f"Laboratory data WBC {5 + 8 * rng.random():.1f}, Na {rng.integers(132, 143)}, lactate {4 * rng.random():.1f}. "
        f"{said(phrases.GOALS[level['goals']])}. {said(phrases.FUNCTION[level['function']])}. "
        f"{said(phrases.EXPECTATION[level['expectation']])}. Coverage: {said(phrases.PAYER[level['payer']])}; "
        f"{said(phrases.AUTHORIZATION[level['authorization']])}; "
        f"{said(phrases.LEVEL_OF_CARE[level['level_of_care']])}. "
        f"{said(phrases.ONSET)}. {said(phrases.PERTINENT_NEGATIVES)}. {said(phrases.MEDICATIONS)}. "
        f"{said(phrases.ALLERGIES)}. {said(phrases.SOCIAL)}. {said(phrases.EXAM_DETAIL)}."
    )


def text_speeds(num: int) -> tuple[float, float]:
    """Admission notes a second, in memory: vectorised and by the plain loop."""
    visits = build_hospital(HospitalConfig(num_encounters=max(num, 1_000))).visits.take(np.arange(num))
    rng = np.random.default_rng(0)
    pen = Pen(rng.integers(0, 4, num), np.full(num, 2016), np.full(num, 0.03), rng)
    admission_texts(visits, pen, "main")  # build the banks first
    start = time.perf_counter()
    texts = admission_texts(visits, pen, "main")
    ours = len(texts) / (time.perf_counter() - start)
    start = time.perf_counter()
    naive = [naive_admission_note(visits, row, rng) for row in range(num)]
    return ours, len(naive) / (time.perf_counter() - start)


def export_speed(num_encounters: int, folder: Path) -> float:
    """Notes a second of the whole export: simulation, all tables, dirt, oracle and CSV writing."""
    start = time.perf_counter()
    summary = write_exports(folder, HospitalConfig(num_encounters=num_encounters))
    return summary.num_rows["notes"] / (time.perf_counter() - start)


def naive_csv_speed(num: int, folder: Path) -> float:
    """Admission notes a second of the plain loop with the csv module."""
    visits = build_hospital(HospitalConfig(num_encounters=max(num, 1_000))).visits.take(np.arange(num))
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    with (folder / "naive.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for row in range(num):
            writer.writerow([row, naive_admission_note(visits, row, rng), "", ""])
    return num / (time.perf_counter() - start)


def row(what: str, peer: str, unit: str, ours: float, peer_value: float) -> dict[str, object]:
    ratio = round(ours / peer_value, 2)
    return {
        "what": what,
        "peer": peer,
        "unit": unit,
        "ours": round(ours),
        "peer_value": round(peer_value),
        "ratio": ratio,
    }


def as_markdown(result: dict) -> str:
    lines = [f"# {result['name']}", "", f"{result['date']}, {result['machine']}", ""]
    lines += ["| what | peer | unit | ours | peer | ratio |", "|---|---|---|---:|---:|---:|"]
    lines += [
        f"| {r['what']} | {r['peer']} | {r['unit']} | {r['ours']:,} | {r['peer_value']:,} | {r['ratio']} |"
        for r in result["rows"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    num_encounters = int(sys.argv[1]) if len(sys.argv) > 1 else 45_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole = export_speed(num_encounters, folder / "export")
        ours, naive = text_speeds(20_000)
        naive_csv = naive_csv_speed(10_000, folder)
    unit = "notes/s"
    result = {
        "name": "hospital",
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "rows": [
            row(
                f"whole export, {num_encounters:,} encounters",
                "the requirement",
                unit,
                whole,
                REQUIRED_NOTES_PER_SECOND,
            ),
            row("whole export", "plain loop and csv, H&P text only", unit, whole, naive_csv),
            row("H&P text in memory", "plain loop of the same wordings", unit, ours, naive),
        ],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "hospital.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "hospital.md").write_text(as_markdown(result))
    print(as_markdown(result))


if __name__ == "__main__":
    main()
