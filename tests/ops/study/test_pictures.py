"""Figures as pictures: readable at both widths, complete, distinguishable, and fit to stand in one page together."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.text import Annotation
from PIL import Image

from lang1_assets.ops.figures import MAX_PNG_BYTES, SYNTHETIC, WIDE
from lang1_assets.ops.study.figure import Point
from lang1_assets.ops.study.heatmap_panel import ink_on, luminance, palette
from lang1_assets.ops.study.line_panel import draw_lines, plot_of
from lang1_assets.ops.study.look import describe, style_at, styles_of
from lang1_assets.ops.study.pictures import NARROW, Sheet, draw, draw_svg, draw_together
from tests.ops.study.sample import (
    TASKS,
    bars,
    every_figure,
    figure_of,
    grouped_bars,
    heatmap,
    lines,
    point,
    reliability,
    scatter,
)


def words_of(svg: str) -> str:
    """What is drawn as text: searchable, and read by people."""
    root = ElementTree.fromstring(svg)
    return " ".join(element.text or "" for element in root.iter("text"))


@pytest.mark.parametrize("figure", every_figure(), ids=lambda figure: f"{figure.name}-{figure.kind}")
@pytest.mark.parametrize(("wide", "width"), [(True, WIDE), (False, NARROW)])
def test_a_picture_is_as_wide_as_its_screen_and_fits_into_metadata(figure, wide, width):
    drawn = draw(figure, wide=wide, is_synthetic=True)
    assert Image.open(io.BytesIO(drawn)).size[0] in (width, 1.5 * width, 2 * width)
    assert len(drawn) < MAX_PNG_BYTES


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return {
        f"{number} {wide}": draw_svg(figure, wide=wide, is_synthetic=True)
        for number, figure in enumerate(every_figure())
        for wide in (True, False)
    }


def test_several_stand_in_one_page(drawn):
    names = [name for svg in drawn.values() for name in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(names) == len(set(names))
    for svg in drawn.values():
        inside = set(re.findall(r'\bid="([^"]*)"', svg))
        used = re.findall(r'href="#([^"]*)"', svg) + re.findall(r"url\(#([^)]*)\)", svg)
        assert set(used) <= inside
        labels = re.search(r'aria-labelledby="([^"]*)"', svg)
        assert labels
        assert set(labels[1].split()) <= inside


def test_nothing_comes_from_elsewhere_and_nothing_styles_the_page(drawn):
    for svg in drawn.values():
        assert not re.search(r"https?://|<style|<script|@font-face|<metadata", svg)
        assert ElementTree.fromstring(svg).attrib["role"] == "img"


def test_text_is_text_and_says_synthetic(drawn):
    for number, figure in enumerate(every_figure()):
        for wide in (True, False):
            said = words_of(drawn[f"{number} {wide}"])
            assert "Synthetic data" in said
            for panel in {each.panel for each in figure.points}:
                assert panel in said
        assert "ynthetic" not in draw_svg(figure, wide=False, is_synthetic=False)


def test_pictures_are_the_same_each_time():
    for figure in (bars(), scatter(), heatmap()):
        assert draw(figure, wide=False, is_synthetic=True) == draw(figure, wide=False, is_synthetic=True)
        assert draw_svg(figure, wide=True, is_synthetic=True) == draw_svg(figure, wide=True, is_synthetic=True)


def test_every_value_of_bars_and_cells_is_printed():
    for figure in (bars(), grouped_bars(), heatmap()):
        said = words_of(draw_svg(figure, wide=False, is_synthetic=False))
        for each in figure.points:
            assert each.value is None or f"{each.value:.3f}" in said
    assert words_of(draw_svg(bars(), wide=True, is_synthetic=False)).count("not measured") == 1


def test_a_legend_stands_where_rows_do_not_name_their_series():
    assert "single task" in words_of(draw_svg(grouped_bars(), wide=True, is_synthetic=False))
    own_names = words_of(draw_svg(bars(), wide=True, is_synthetic=False))
    assert own_names.count("Bag of words") == len(TASKS)


def test_zero_has_a_place_on_a_logarithmic_axis():
    plot = plot_of(Sheet(), (0, 0), 360, lines(), lines().points)
    places = [plot.at(notes) for notes in (0, 100, 300, 1000, 10_000)]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    assert " 0 " in words_of(draw_svg(lines(), wide=True, is_synthetic=False))


def test_the_diagonal_of_a_reliability_curve_goes_from_corner_to_corner():
    plot = plot_of(Sheet(), (0, 0), 360, reliability(), reliability().points)
    assert (plot.x.low, plot.x.high, plot.y.low, plot.y.high) == (0, 1, 0, 1)
    assert draw_svg(reliability(), wide=False, is_synthetic=False).count("stroke-dasharray") == len(TASKS)


def test_a_panel_has_the_words_of_its_own_points_below_it():
    """A task's tests may be of other years than another's: there are no gaps for those."""
    years = {"Readmission": ("test", "2021", "2024"), "Insurance denial": ("test", "2022", "2024")}
    figure = figure_of("temporal_decay", "lines", [point("ours", x, 0.7, task) for task in years for x in years[task]])
    for task, places in years.items():
        own = [each for each in figure.points if each.panel == task]
        plot = plot_of(Sheet(), (0, 0), 360, figure, own)
        assert plot.places == places
        assert [plot.at(x) for x in places] == sorted(plot.at(x) for x in places)


def test_arrows_join_the_points_of_a_series():
    sheet, figure = Sheet(), scatter()
    draw_lines(sheet, (0, 0), 360, figure, figure.points, styles_of(figure))
    arrows = [item for item in sheet.axes.get_children() if isinstance(item, Annotation)]
    assert len(arrows) == len(TASKS)
    # Finetuning lowers the perplexity and raises the AUROC: to the left and, y downward, up.
    assert all(arrow.xy[0] < arrow.xyann[0] and arrow.xy[1] < arrow.xyann[1] for arrow in arrows)


def test_many_models_are_named_beside_their_bars_and_a_few_in_a_legend():
    def named(num_models: int) -> int:
        points = [point(f"model {k}", task, 0.6) for task in TASKS for k in range(num_models)]
        return words_of(
            draw_svg(figure_of("zero_shot_comparison", "bars", points), wide=True, is_synthetic=False)
        ).count("model 0")

    assert named(3) == 1
    assert named(8) == len(TASKS)


@pytest.mark.parametrize("low", [0.5, -0.15])
def test_numbers_can_be_read_on_every_cell(low):
    figure = heatmap(low)
    colors, scale = palette(figure)
    for value in (each.value for each in figure.points if each.value is not None):
        fill = "#" + "".join(f"{round(255 * part):02x}" for part in colors(scale(value))[:3])
        light, dark = sorted((luminance(fill), luminance(ink_on(fill))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_more_is_darker_also_in_gray():
    colors, scale = palette(heatmap())
    grays = [
        luminance("#" + "".join(f"{round(255 * part):02x}" for part in colors(scale(v))[:3]))
        for v in np.linspace(0.5, 0.82, 9)
    ]
    assert grays == sorted(grays, reverse=True)


def test_no_two_series_look_alike():
    assert len({style_at(number) for number in range(63)}) == 63
    assert (
        len({style_at(number).color for number in range(7)})
        == len({style_at(number).marker for number in range(7)})
        == 7
    )


def test_the_words_for_those_who_cannot_see_hold_the_numbers():
    said = describe(bars())
    for each in bars().points:
        assert each.panel in said
        assert each.value is None or f"{each.value:.3f}" in said
    assert "from 0.05 0.020 to 0.95 0.920" in describe(reliability())


def test_hostile_names_stay_names():
    evil = '<script>alert("x")</script> $\\frac{1}{2}$ & co'
    for kind in ("bars", "lines", "scatter", "heatmap"):
        points = [point(evil, x, 0.6, panel=evil) for x in (evil, "b")]
        svg = draw_svg(figure_of(evil, kind, points, title=evil), wide=True, is_synthetic=False)
        assert "<script" not in svg
        assert "alert" in " ".join(ElementTree.fromstring(svg).itertext())


@pytest.mark.parametrize("kind", ["bars", "lines", "scatter", "heatmap"])
@pytest.mark.parametrize(
    "points",
    [
        [],
        [Point(series="s", x="c", value=None, note="nothing")],
        [Point(series="s", x=0, value=0.0)],
        [Point(series="s", x=0, value=0.5), Point(series="s", x=0, value=0.5, panel="p")],
        [Point(series="s", x=5e9, value=12_000.0), Point(series="s", x=1e-3, value=-3.0)],
        [Point(series="a" * 200, x="b" * 200, value=0.5, low=0.5, high=0.5, panel="c " * 90)],
        [Point(series=f"s{k}", x=f"x{k % 12}", value=k / 40) for k in range(40)],
    ],
)
def test_odd_figures_can_be_drawn(kind, points):
    for is_log in (False, True):
        figure = figure_of("odd", kind, points, x_is_log=is_log)
        svg = draw_svg(figure, wide=False, is_synthetic=True)
        ElementTree.fromstring(svg)
        assert not re.search(r"\b(nan|inf)\b", svg)


def test_the_figures_of_one_study_share_a_sheet():
    both = draw_together((bars(), lines()), wide=False, is_synthetic=True, form="svg").decode()
    assert bars().title in both
    assert lines().title in both
    assert both.count(SYNTHETIC.split(".")[0]) == 1
