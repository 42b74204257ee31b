"""What a person sees of drift in Dagster: tables of the last months, pictures of all of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from lang1_assets.materialization import markdown_table, picture
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import Artifact

if TYPE_CHECKING:
    from lang1_assets.ops.drift.rows import DriftRow

MONTHS_SHOWN = 12
"""In tables; the files have all."""
ABSENT = "-"


def shown(artifact: Artifact, rows: "Sequence[DriftRow]") -> dict[str, Any]:
    """Metadata of a report: what the model in service does, then what its notes are like, then who served before."""
    from lang1_assets.ops.drift.figure import SHEETS

    model = artifact.summary["model"]
    models = {row["model"]: row["variant"] for row in rows}
    found: dict[str, Any] = {"performance": performance_table([row for row in rows if row["model"] == model])}
    pictures = {"performance": "AUROC and calibration by month", **{sheet: f"{sheet} by month" for sheet in SHEETS}}
    for name, words in pictures.items():
        # Those for a phone: they are read everywhere.
        file = artifact.path / picture_file(name, wide=False)
        if file.exists():
            found[f"{name}_picture"] = picture(file, words.replace("_", " "))
    found["inputs"] = inputs_table(by_last_model(rows))
    for earlier, variant in models.items():
        if earlier != model:
            found[f"before_{variant}_{earlier}"] = performance_table([row for row in rows if row["model"] == earlier])
    found["mlflow_run"] = dg.MetadataValue.url(artifact.summary["mlflow_url"])
    return found


def picture_file(name: str, wide: bool) -> str:
    return f"{name}.png" if wide else f"{name}-phone.png"


def by_last_model(rows: "Sequence[DriftRow]") -> "list[DriftRow]":
    """Of each month the rows of the model that scored it last: its notes are the same whoever scores them."""
    last = {row["month"]: row["model"] for row in rows}
    return [row for row in rows if row["model"] == last[row["month"]]]


def last_months(rows: "Sequence[DriftRow]") -> "list[DriftRow]":
    months = sorted({row["month"] for row in rows})[-MONTHS_SHOWN:]
    return [row for row in rows if row["month"] in months]


def performance_table(rows: "Sequence[DriftRow]") -> dg.MarkdownMetadataValue:
    from lang1_assets.ops.drift import rows as names

    lines = []
    for (task, month), found in names.by_statistic(last_months(rows)).items():
        why = next((row["left_out"] for name, row in found.items() if name == names.AUROC and row["left_out"]), "")
        lines.append(
            [
                TASKS[task].title,
                month,
                value(found, names.NUM_SCORED, 0),
                value(found, names.NUM_EVENTS, 0),
                with_interval(found, names.AUROC),
                reference(found, names.AUROC),
                p_value(found, names.AUROC),
                with_interval(found, names.OBSERVED),
                value(found, names.EXPECTED),
                with_interval(found, names.GAP),
                reference(found, names.GAP),
                p_value(found, names.GAP),
                with_interval(found, names.SLOPE, 2),
                with_interval(found, names.ECE),
                why,
            ]
        )
    header = [
        "task",
        "month",
        "notes",
        "events",
        "AUROC (95 %)",
        "reference's AUROC",
        "p of AUROC",
        "observed",
        "expected",
    ]
    header += ["observed less expected", "reference's difference", "p of the difference", "slope", "ECE", "left out"]
    return markdown_table(header, lines)


def inputs_table(rows: "Sequence[DriftRow]") -> dg.MarkdownMetadataValue:
    from lang1_assets.ops.drift import rows as names

    lines = []
    for (task, month), found in names.by_statistic(last_months(rows)).items():
        line: list[Any] = [TASKS[task].title, month, value(found, names.NUM_NOTES, 0), quartiles(found)]
        line += [p_value(found, names.WORDS_MEDIAN)]
        for statistic in (names.TOKENS_PER_WORD, names.UNSEEN_WORDS, names.WORD_DISTANCE, names.SCORE_STABILITY):
            line += [value(found, statistic), by_chance(found, statistic)]
        lines.append(line)
    header = ["task", "month", "notes", "words (quartiles)", "p of the median"]
    for name in ("tokens per word", "words never seen", "distance of words", "stability of scores"):
        header += [name, f"{name}, by chance"]
    return markdown_table(header, lines)


def tested_table(tested: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """What a check has tested, with the smallest change that it would have found."""
    from lang1_assets.ops.drift.rows import titles

    header = ["task", "month", "number", "value", "95 % interval", "reference", "p", "p, all together", "worse"]
    return markdown_table(
        [*header, "smallest change that is found 4 times of 5"],
        [
            [
                TASKS[one["task"]].title,
                one["month"],
                titles(one["statistic"]),
                one["value"],
                f"{one['low']:.3f} to {one['high']:.3f}" if one["low"] is not None else ABSENT,
                one["reference"],
                f"{one['p_value']:.2g}",
                f"{one['p_adjusted']:.2g}",
                "yes" if one["is_worse"] else "no",
                ABSENT if one["least_found"] is None else one["least_found"],
            ]
            for one in tested
        ],
    )


Found = Mapping[str, Any]
"""Statistic -> its row."""


def value(found: Found, statistic: str, digits: int = 3) -> str:
    row = found.get(statistic)
    return ABSENT if row is None or row["value"] is None else f"{row['value']:,.{digits}f}"


def with_interval(found: Found, statistic: str, digits: int = 3) -> str:
    row, shown_value = found.get(statistic), value(found, statistic, digits)
    if row is None or row["value"] is None or row["low"] is None:
        return shown_value
    return f"{shown_value} ({row['low']:.{digits}f} to {row['high']:.{digits}f})"


def reference(found: Found, statistic: str) -> str:
    row = found.get(statistic)
    return ABSENT if row is None or row["reference"] is None else f"{row['reference']:.3f}"


def by_chance(found: Found, statistic: str) -> str:
    """The middle 95 % of what random patients of the reference give."""
    row = found.get(statistic)
    if row is None or row["reference_low"] is None:
        return ABSENT
    return f"{row['reference_low']:.3f} to {row['reference_high']:.3f}"


def p_value(found: Found, statistic: str) -> str:
    row = found.get(statistic)
    return ABSENT if row is None or row["p_value"] is None else f"{row['p_value']:.2g}"


def quartiles(found: Found) -> str:
    from lang1_assets.ops.drift.rows import WORDS_MEDIAN, WORDS_Q25, WORDS_Q75

    low, middle, high = (value(found, name, 0) for name in (WORDS_Q25, WORDS_MEDIAN, WORDS_Q75))
    return ABSENT if middle == ABSENT else f"{middle} ({low} to {high})"
