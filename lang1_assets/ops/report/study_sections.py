"""The sections of claims, studies, memorization and model cards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lang1_assets.ops.report import result_tables
from lang1_assets.ops.report.briefs import BRIEFS
from lang1_assets.ops.report.data import ReportData, left_out_line
from lang1_assets.ops.report.layout import Card, Drawing, Group, Part, Section
from lang1_assets.ops.report.study_data import MAKE_STUDIES, Memorized, StudyResult
from lang1_assets.ops.report.tables import Cell, Content, Table, link, table
from lang1_assets.ops.study.claim import Judged, Verdict
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.look import printed, printed_x
from lang1_assets.ops.study.names import ANALYSIS_NAMES, STUDY_NAMES
from lang1_assets.ops.study.pictures import draw_svg, not_measured

VERDICTS: dict[Verdict, tuple[str, str]] = {
    "holds": ("\N{CHECK MARK} holds", "good"),
    "does not hold": ("\N{MULTIPLICATION X} does not hold", "bad"),
    "cannot tell": ("? cannot tell", "open"),
}
"""A word and a symbol each, and the color of both: none of the three alone."""


def study_hint(data: ReportData) -> str:
    """The first lines' word on studies that were not made or not judged; empty where they were."""
    if not data.claims and left_out_line(data, "study|claims"):
        return (
            f"The studies are of earlier models or inputs: `{MAKE_STUDIES}` makes them anew, and judges each finding."
        )
    if data.study_names.isdisjoint(STUDY_NAMES) and not data.claims:
        return f"No study of the paper's findings was made yet: `{MAKE_STUDIES}` makes them, and judges each finding."
    if not data.claims:
        return f"The findings were not judged yet: `{MAKE_STUDIES}` does it, or materialize the asset `claims`."
    return ""


def claims_section(data: ReportData) -> Section | None:
    """What the paper found, and whether it holds here."""
    missing = left_out_line(data, "claims")
    if not data.claims:
        return Section(anchor="claims", title="The paper's findings", missing=missing) if missing else None
    return Section(
        anchor="claims",
        title=data.titled("The paper's findings"),
        text=(
            "Rules and margins stand in docs/studies.md; a finding cannot be told where intervals are too wide or something "
            "was not measured.",
        ),
        groups=tuple(verdict_group(data, verdict) for verdict in VERDICTS),
        folded=(claims_table(data), evidence_table(data.claims)),
    )


def verdict_group(data: ReportData, verdict: Verdict) -> Group:
    title, tone = VERDICTS[verdict]
    found = [judged for judged in data.claims if judged.verdict == verdict]
    return Group(
        title=title,
        tone=tone,
        items=tuple((BRIEFS.get(each.claim.name, each.claim.statement), brief_link(data, each)) for each in found),
        folds=verdict == "cannot tell",
    )


def brief_link(data: ReportData, judged: Judged) -> Cell:
    """The finding's figure alone: `Fig. 2b` of `Abstract; Fig. 2b, section 2`."""
    whole = figure_link(data, judged)
    figure = re.search(r"Fig\. \w+", whole.text)
    return replace(whole, text=figure[0]) if figure else whole


def claims_table(data: ReportData) -> Table:
    rows: list[list[Content]] = [
        [
            judged.claim.statement,
            Cell(text=VERDICTS[judged.verdict][0], tone=VERDICTS[judged.verdict][1]),
            one_a_line(judged.numbers),
            figure_link(data, judged),
        ]
        for judged in data.claims
    ]
    header = ("Finding", "Here", "Numbers", "Figure")
    return table("Each finding in full, with its numbers", header, rows, num_labels=4, is_prose=True)


def one_a_line(numbers: str) -> str:
    """How many hold, each comparison and what is not there: a line each."""
    return re.sub(r"(?<=;) |(?<=%\.) |(?<=\.) (?=Not there: )", "\n", numbers)


def figure_link(data: ReportData, judged: Judged) -> Cell:
    if judged.figure not in data.study_names:
        return Cell(text=judged.claim.paper)
    return Cell(text=judged.claim.paper, url=f"#study-{judged.figure}")


def evidence_table(claims: Sequence[Judged]) -> Table:
    """How each was judged, and every comparison behind it."""
    rows: list[list[Content]] = [
        [
            judged.claim.statement,
            judged.claim.statistic,
            ";\n".join(comparison(detail) for detail in judged.details),
            ", ".join(judged.sources),
        ]
        for judged in claims
    ]
    header = ("Finding", "Holds when", "Comparisons", "Judged from")
    return table("How each finding was judged", header, rows, num_labels=4, is_prose=True)


def comparison(detail: dict[str, object]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {told(value)}"
        for name, value in detail.items()
        # Why something is lacking names what is absent.
        if name != "absent" and value not in (None, "", (), [])
    )


def told(value: object) -> str:
    """A number, a name, or the region of `Evidence`: `above 0`, `above -0.01 and below 0.01`."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if not isinstance(value, dict):
        return str(value)
    bounds = (("above", value.get("lower")), ("below", value.get("upper")))
    return " and ".join(f"{side} {bound:g}" for side, bound in bounds if bound is not None)


def studies_section(data: ReportData) -> Section | None:
    left_out = left_out_line(data, "|".join(("study", *ANALYSIS_NAMES)))
    if not data.studies:
        return Section(anchor="studies", title="The paper's studies", missing=left_out) if left_out else None
    old = {name.removeprefix("study/").split("/")[0] for name in data.left_out}
    absent = [name for name in (*STUDY_NAMES, *ANALYSIS_NAMES) if name not in data.study_names | old]
    return Section(
        anchor="studies",
        title=data.titled("The paper's studies"),
        parts=tuple(study_part(data, study) for study in data.studies),
        missing=(*((f"Not made yet: {', '.join(absent)}.",) if absent else ()), *left_out),
    )


def study_part(data: ReportData, study: StudyResult) -> Part:
    drawings = tuple(drawing_of(figure, data.is_synthetic) for figure in study.figures)
    folded = (result_tables.calibration_table(data),) if study.name == "calibration" and data.curves else ()
    return Part(
        anchor=f"study-{study.name}",
        title=heading_of(study),
        links=links(study.asset_url, study.mlflow_url),
        drawings=drawings,
        folded=folded,
        missing=study.missing if drawings or study.missing else ("This study has no figure yet.",),
    )


def heading_of(study: StudyResult) -> str:
    """Its figures' titles; of more than two the first, because a line holds no more."""
    titles = list(dict.fromkeys(figure.title for figure in study.figures))
    return " / ".join(titles if len(titles) <= 2 else titles[:1]) or study.name


def drawing_of(figure: Figure, is_synthetic: bool) -> Drawing:
    """The chart at both widths, and its numbers."""
    parts = (f"{figure.paper}: {figure.title}.", figure.caption, not_measured(figure))
    return Drawing(
        caption=" ".join(part for part in parts if part),
        wide=(draw_svg(figure, wide=True, is_synthetic=is_synthetic),),
        narrow=draw_svg(figure, wide=False, is_synthetic=is_synthetic),
        numbers=numbers_table(figure),
    )


def numbers_table(figure: Figure) -> Table:
    names = ("Panel",) if any(point.panel for point in figure.points) else ()
    header = (*names, "Series", figure.x_title.capitalize(), figure.y_title, "95% interval", "n", "From", "Remark")
    rows: list[list[Content]] = [
        [
            *(point.panel for _ in names),
            point.series,
            printed_x(point.x),
            printed(point.value),
            interval(point),
            point.n,
            point.source,
            point.note,
        ]
        for point in figure.points
    ]
    return table(f"The numbers of {figure.paper}, {figure.title}", header, rows, num_labels=2 + len(names))


def interval(point: Point) -> str | None:
    if point.low is None or point.high is None:
        return None
    return f"{printed(point.low)} – {printed(point.high)}"


def links(asset_url: str | None, mlflow_url: str | None) -> tuple[Cell, ...]:
    found = (link("Dagster asset", asset_url), link("MLflow run", mlflow_url))
    return tuple(cell for cell in found if cell is not None)


def memorization_section(data: ReportData) -> Section | None:
    missing = left_out_line(data, "memorization")
    if not data.memorized:
        return Section(anchor="memorization", title="Memorization", missing=missing) if missing else None
    return Section(
        anchor="memorization",
        title=data.titled("Memorization"),
        missing=missing,
        tables=(memorized_table(data.memorized),),
        parts=tuple(
            Part(
                anchor=f"memorization-{number}",
                title=held.model,
                links=links(held.asset_url, held.mlflow_url),
                drawings=tuple(drawing_of(figure, data.is_synthetic) for figure in held.figures),
            )
            for number, held in enumerate(data.memorized)
            if held.figures
        ),
    )


def memorized_table(memorized: Sequence[Memorized]) -> Table:
    rows: list[list[Content]] = [
        [held.model, Cell(text=words, tone=tone), held.verdict]
        for held in memorized
        for words, tone in [by_heart(held)]
    ]
    header = ("Model", "By heart", "What was found")
    return table("What each model has by heart of its notes", header, rows, num_labels=3, is_prose=True)


def by_heart(held: Memorized) -> tuple[str, str]:
    if held.verdict.startswith("not measured"):
        return "? not measured", "open"
    return ("\N{CHECK MARK} nothing found", "good") if held.is_clean else ("\N{MULTIPLICATION X} memorized", "bad")


def cards_section(data: ReportData) -> Section | None:
    missing = left_out_line(data, "model_card")
    if not data.cards:
        return Section(anchor="cards", title="Model cards", missing=missing) if missing else None
    # Only here is a Markdown parser needed.
    from lang1_assets.ops.report.cards import card_html

    made = (
        Card(title=f"{card.variant}, {card.recipe}", html=card_html(card.text, card.variant), text=card.text)
        for card in data.cards
    )
    return Section(anchor="cards", title=data.titled("Model cards"), cards=tuple(made), missing=missing)
