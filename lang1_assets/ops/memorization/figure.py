"""What is memorized along pretraining, as a picture."""

from __future__ import annotations

import polars as pl

from lang1_assets.ops.figures import Form
from lang1_assets.ops.line_figures import Line, Panel, Point, line_picture
from lang1_assets.ops.memorization.evaluate import EXPOSURE, HELD_OUT, TRAINED
from lang1_assets.ops.memorization.verdict import MEAN_BITS_BY_CHANCE


def memorization_picture(
    rows: pl.DataFrame, model: str, *, is_synthetic: bool, wide: bool, form: Form = "png"
) -> bytes:
    """Mean exposure by number of repeats, and verbatim continuations, over the checkpoints."""
    panels = []
    exposed = rows.filter(kind=EXPOSURE)
    if not exposed.is_empty():
        lines = tuple(exposure_line(exposed.filter(repeats=repeats), repeats) for repeats in repeats_of(exposed))
        panels.append(
            Panel(title="a  Canaries", axis="mean exposure, bits", lines=lines, reference=MEAN_BITS_BY_CHANCE)
        )
    kinds = [(kind, label) for kind, label in ((TRAINED, "trained on"), (HELD_OUT, "held out")) if kind in rows["kind"]]
    if kinds:
        lines = tuple(verbatim_line(rows.filter(kind=kind), label) for kind, label in kinds)
        panels.append(Panel(title="b  Continued word for word", axis="share of texts", lines=lines, is_share=True))
    caption = f"Checkpoints of {model}. Exposure: rank of a made-up number among random ones. Bars are 95% intervals."
    return line_picture("What is memorized", panels, caption, is_synthetic=is_synthetic, wide=wide, form=form)


def repeats_of(exposed: pl.DataFrame) -> list[int]:
    return sorted(exposed["repeats"].unique().to_list())


def exposure_line(rows: pl.DataFrame, repeats: int) -> Line:
    means = rows.group_by("tokens").agg(pl.col("value").mean()).sort("tokens")
    label = {0: "never planted", 1: "planted once"}.get(repeats, f"{repeats} times")
    return Line(label=label, points=tuple(Point(tokens=tokens, value=value) for tokens, value in means.iter_rows()))


def verbatim_line(rows: pl.DataFrame, label: str) -> Line:
    chosen = rows.sort("tokens").select("tokens", "value", "low", "high")
    return Line(label=label, points=tuple(Point(**row) for row in chosen.iter_rows(named=True)))
