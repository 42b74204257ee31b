"""What is memorized along pretraining, as figures."""

from __future__ import annotations

import polars as pl

from lang1_assets.ops.memorization.evaluate import EXPOSURE, HELD_OUT, TRAINED
from lang1_assets.ops.memorization.verdict import MEAN_BITS_BY_CHANCE
from lang1_assets.ops.study.figure import Figure, Point

PAPER = "not in the paper"


def memorization_figures(rows: pl.DataFrame, model: str) -> tuple[Figure, ...]:
    """Mean exposure by number of repeats, and verbatim continuations, over the checkpoints; of rows of `evaluate.SCHEMA`."""
    exposed, continued = exposure_points(rows.filter(kind=EXPOSURE)), verbatim_points(rows)
    figures = [
        Figure(
            name="memorization",
            paper=PAPER,
            kind="lines",
            x_title="tokens seen",
            title="Canaries",
            caption=f"Checkpoints of {model}. Exposure: rank of a made-up number among random ones.",
            y_title="mean exposure, bits",
            points=exposed,
            chance=MEAN_BITS_BY_CHANCE,
        ),
        Figure(
            name="memorization",
            paper=PAPER,
            kind="lines",
            x_title="tokens seen",
            title="Continued word for word",
            caption=f"Checkpoints of {model}. Bars are 95% intervals.",
            y_title="share of texts",
            points=continued,
        ),
    ]
    return tuple(figure for figure in figures if figure.points)


def exposure_points(exposed: pl.DataFrame) -> tuple[Point, ...]:
    means = exposed.group_by("repeats", "tokens").agg(pl.col("value").mean(), pl.len()).sort("repeats", "tokens")
    return tuple(
        Point(series=repeated(repeats), x=tokens, value=value, n=count)
        for repeats, tokens, value, count in means.iter_rows()
    )


def repeated(times: int) -> str:
    return {0: "never planted", 1: "planted once"}.get(times, f"{times} times")


def verbatim_points(rows: pl.DataFrame) -> tuple[Point, ...]:
    found = []
    for kind, label in ((TRAINED, "trained on"), (HELD_OUT, "held out")):
        chosen = rows.filter(kind=kind).sort("tokens")
        found += [
            Point(series=label, x=row["tokens"], value=row["value"], low=row["low"], high=row["high"], n=row["n"])
            for row in chosen.iter_rows(named=True)
        ]
    return tuple(found)
