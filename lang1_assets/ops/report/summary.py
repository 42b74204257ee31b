"""The first screen: one tile a task, and the result in a few sentences, from the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median

from lang1_assets.ops.report.data import ReportData
from lang1_assets.ops.results import JOINT, ResultRow, distance_closed, find_row
from lang1_assets.ops.tasks import TASKS

GOAL = 0.6
"""Share of the distance from chance to the oracle that counts as having learned a task."""
DECAY = "performance_decays_with_time"
"""The finding on how the latest test differs from that of the training years."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One task in the first screen."""

    title: str
    value: str
    interval: str
    mode: str
    closed: float | None
    oracle: str


def headline_rows(data: ReportData) -> dict[str, ResultRow]:
    """Task -> the best training's AUROC on the headline test: joint, else single-task, else zero-shot."""
    found = {}
    for task in data.tasks:
        rows = [
            find_row(data.rows, model=data.model, trained_on=trained_on, task=task, split=data.headline_split)
            for trained_on in (JOINT, task, None)
        ]
        best = next((row for row in rows if row is not None and row["value"] is not None), None)
        if best is not None:
            found[task] = best
    return found


def tiles(data: ReportData) -> list[Tile]:
    made = []
    for task, row in headline_rows(data).items():
        closed = distance_closed(row)
        low, high, oracle = row["low"], row["high"], row["oracle"]
        made.append(
            Tile(
                title=TASKS[task].title,
                value=f"{row['value']:.3f}",
                interval=f"{low:.3f} – {high:.3f}" if low is not None and high is not None else "no interval",
                mode=_mode_name(row),
                closed=None if closed is None else min(max(closed, 0.0), 1.0),
                oracle=f"oracle {oracle:.3f}" if oracle is not None else "no oracle",
            )
        )
    return made


def _mode_name(row: ResultRow) -> str:
    if row["trained_on"] is None:
        return "zero-shot"
    return "joint" if row["trained_on"] == JOINT else "single task"


def summary(data: ReportData) -> str:
    """The result in a few sentences, from the numbers."""
    rows = headline_rows(data)
    if not rows:
        return (
            f"No result of {data.model} on the {data.headline_title} is here yet: materialize an evaluation, then this "
            "report."
        )
    sentences = [_distance_sentence(rows, data.headline_title), _zero_shot_sentence(data), _drift_sentence(data)]
    return " ".join(sentence for sentence in sentences if sentence)


def _distance_sentence(rows: dict[str, ResultRow], test: str) -> str:
    who = {
        "joint": "The jointly finetuned model",
        "single task": "The single-task models",
        "zero-shot": "Zero-shot, the model",
    }
    modes = {_mode_name(row) for row in rows.values()}
    subject = who[modes.pop()] if len(modes) == 1 else "The best model of each task"
    plural = subject.endswith("models")
    closed = [value for value in map(distance_closed, rows.values()) if value is not None]
    if not closed:
        mean = fmean(row["value"] or 0.0 for row in rows.values())
        verb = "reach" if plural else "reaches"
        if len(rows) == 1:
            return f"{subject} {verb} an AUROC of {mean:.3f} on the {test}."
        return f"{subject} {verb} a mean AUROC of {mean:.3f} over {_tasks(len(rows))} of the {test}."
    reached = sum(value >= GOAL for value in closed)
    return (
        f"{subject} {'close' if plural else 'closes'} at least {GOAL:.0%} of the distance from chance to the oracle "
        f"on {reached} of {_tasks(len(closed))} of the {test}; the median over tasks is {median(closed):.0%}."
    )


def _tasks(number: int) -> str:
    return f"{number} task" + ("s" if number != 1 else "")


def _zero_shot_sentence(data: ReportData) -> str:
    values = _values(data, None, data.headline_split)
    joint = _values(data, JOINT, data.headline_split)
    shared = [task for task in values if task in joint]
    if not shared:
        return ""
    before, after = fmean(values[task] for task in shared), fmean(joint[task] for task in shared)
    which = "the AUROC" if len(shared) == 1 else "the mean AUROC"
    return f"Finetuning takes {which} from {before:.3f} (zero-shot) to {after:.3f}."


def _drift_sentence(data: ReportData) -> str:
    """By how much it got worse, with what the finding about that says of chance; both values where it was not judged."""
    if data.headline_split == "test":
        return ""
    old, new = _values(data, JOINT, "test"), _values(data, JOINT, data.headline_split)
    shared = [task for task in old if task in new]
    if not shared:
        return ""
    change = _judged_change(data)
    if change is not None:
        return change
    before, after = fmean(old[task] for task in shared), fmean(new[task] for task in shared)
    return (
        f"Its mean AUROC is {before:.3f} on the test of the training years and {after:.3f} on the {data.headline_title}; "
        "whether chance alone could do that was not judged."
    )


def _judged_change(data: ReportData) -> str | None:
    """None where the finding was not judged of this model, or lacks its number."""
    judged = next((judged for judged in data.claims if judged.claim.name == DECAY), None)
    found = judged.details[0] if judged is not None and judged.details else {}
    value, low, high = (found.get(name) for name in ("value", "low", "high"))
    is_of_model = str(found.get("about", "")).startswith(f"{data.model},")
    if not (is_of_model and isinstance(value, float) and isinstance(low, float) and isinstance(high, float)):
        return None
    way = "lower" if value < 0 else "higher"
    told = (
        f"Its mean AUROC is {abs(value):.3f} {way} on the {data.headline_title} than on the test of the training years"
    )
    interval = f"95% interval {low:+.3f} to {high:+.3f}".replace("-", "\N{MINUS SIGN}")
    return f"{told} ({interval})" + (", which chance alone could do." if low <= 0 <= high else ".")


def _values(data: ReportData, trained_on: str | None, split: str) -> dict[str, float]:
    found = {}
    for task in data.tasks:
        row = find_row(data.rows, model=data.model, trained_on=trained_on, task=task, split=split)
        if row is not None and row["value"] is not None:
            found[task] = row["value"]
    return found
