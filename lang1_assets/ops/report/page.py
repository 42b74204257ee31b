"""The report as files: `index.html`, `report.md` and `results.json`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from lang1_assets.ops.report.data import ReportData
from lang1_assets.ops.report.layout import Section, all_tables
from lang1_assets.ops.report.sections import build_sections
from lang1_assets.ops.report.study_sections import study_hint
from lang1_assets.ops.report.summary import summary, tiles
from lang1_assets.ops.report.svg import Canvas
from lang1_assets.ops.report.tables import Cell, Table
from lang1_assets.ops.results import write_results

PAGE_FILE = "index.html"
MARKDOWN_FILE = "report.md"
RESULTS_FILE = "results.json"
SYNTHETIC_BANNER = "Synthetic data: the embedded hospital. No number here is about real patients."
MARKDOWN_ROWS = 60
"""Longer tables are cut in Markdown, which is for a panel in Dagster; the page and `results.json` hold all."""


def write_report(data: ReportData, folder: Path) -> None:
    """Write the three files into an existing folder."""
    sections = build_sections(data)
    (folder / PAGE_FILE).write_text(render_page(data, sections), encoding="utf-8")
    (folder / MARKDOWN_FILE).write_text(render_markdown(data, sections), encoding="utf-8")
    write_results(folder / RESULTS_FILE, data.rows, data.switched_off)


def render_page(data: ReportData, sections: list[Section]) -> str:
    """One HTML page that needs nothing else: no script, no font, no image from anywhere."""
    return _template().render(
        data=data,
        sections=sections,
        summary=summary(data),
        tiles=tiles(data),
        hint=study_hint(data).split("`"),
        banner=SYNTHETIC_BANNER,
        legend_mark=legend_mark,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("lang1_assets.ops", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2")


def legend_mark(shape: str, css: str) -> str:
    """A small mark as in the charts, decoration beside its name."""
    canvas = Canvas(16, 16)
    canvas.mark((8, 8), shape, css, "", 5)
    return f'<svg viewBox="0 0 16 16" aria-hidden="true">{"".join(canvas.elements)}</svg>'


def render_markdown(data: ReportData, sections: list[Section]) -> str:
    """The page without its charts."""
    lines = [f"# {data.title}", ""]
    if data.is_synthetic:
        lines += [f"> **{SYNTHETIC_BANNER}**", ""]
    lines += [summary(data), "", f"Profile `{data.profile}`, model `{data.model}`, made {data.created}.", ""]
    hint = study_hint(data)
    lines += [hint, ""] if hint else []
    for section, found in all_tables(sections):
        lines += [f"## {section.title}", ""]
        counts = ", ".join(f"{len(group.items)} {group.title}" for group in section.groups)
        lines += [line for text in (counts, *section.text) if text for line in (text, "")]
        lines += [line for note in section.missing for line in (f"*{note}*", "")]
        lines += [line for part in section.parts for note in part.missing for line in (f"*{part.title}: {note}*", "")]
        lines += [line for each in found for line in (*markdown_lines(each), "")]
    return "\n".join(lines)


def markdown_lines(table: Table) -> list[str]:
    rules = [" --- " if column < table.num_labels else " ---: " for column in range(len(table.header))]
    lines = [
        f"**{table.caption}**",
        "",
        _markdown_row([Cell(text=name) for name in table.header]),
        f"|{'|'.join(rules)}|",
    ]
    lines += [_markdown_row(row) for row in table.rows[:MARKDOWN_ROWS]]
    left_out = len(table.rows) - MARKDOWN_ROWS
    return [*lines, "", f"*{left_out:,} more rows are in index.html.*"] if left_out > 0 else lines


def _markdown_row(cells: tuple[Cell, ...] | list[Cell]) -> str:
    return "| " + " | ".join(_markdown_cell(cell) for cell in cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    text = cell.text.replace("|", "\\|").replace("\n", " ")
    text = f"≠ {text}" if cell.differs else text
    return f"[{text}]({cell.url})" if cell.url else text
