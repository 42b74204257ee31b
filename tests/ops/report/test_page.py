"""The page as a reader gets it: complete, self-contained, valid, and honest about what is missing."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from lang1_assets.ops.report import ReportError, write_report
from lang1_assets.ops.report.page import SYNTHETIC_BANNER
from lang1_assets.ops.results import read_results, read_switched_off
from lang1_assets.ops.split_titles import SplitTitles
from lang1_assets.ops.tasks import TASKS
from tests.ops.report.reading import content_width, needs_browser, read
from tests.ops.report.sample import (
    MODEL,
    NEITHER_NOTES_NOR_CLAIMS,
    NO_ADMISSION_NOTES,
    SWITCHED_OFF,
    sample_of_one_task,
    sample_report,
    sample_without_extras,
)


@pytest.fixture(scope="module")
def data():
    return sample_report(num_resamples=30)


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(data, folder)
    return folder


def test_three_files(folder, data):
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.md", "results.json"]
    assert read_results(folder / "results.json") == list(data.rows)


def test_nothing_is_fetched_from_anywhere(folder):
    html, page = read(folder)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "audio", "video"}
    assert not any("src" in attributes or "srcset" in attributes for _, attributes in page.tags)
    assert "@import" not in html
    assert "url(" not in html


def test_every_number_of_the_results_is_on_the_page(folder, data):
    _, page = read(folder)
    missing = [row for row in data.rows if row["value"] is not None and f"{row['value']:.3f}" not in page.text]
    assert missing == []
    intervals = [f"({row['low']:.3f} \N{EN DASH} {row['high']:.3f})" for row in data.rows if row["low"] is not None]
    assert [interval for interval in intervals if interval not in page.text] == []


def test_numbers_link_to_their_asset_and_run(folder, data):
    _, page = read(folder)
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert {row["asset_url"] for row in data.rows} <= links
    assert {row["mlflow_url"] for row in data.rows} <= links
    assert {artifact.url for artifact in data.artifacts} <= links


def test_links_within_the_page_lead_somewhere(folder):
    _, page = read(folder)
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))
    inside = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a" and attributes["href"][0] == "#"}
    labels = {name for _, a in page.tags for name in a.get("aria-labelledby", "").split()}
    assert inside | labels <= set(names)


def test_figures_are_labelled_well_formed_and_have_their_numbers(folder):
    html, page = read(folder)
    figures = re.findall(r"<svg viewBox.*?</svg>", html, flags=re.S)
    for figure in figures:
        ElementTree.fromstring(figure)
    labelled = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(labelled) == 2 + 5 + 5 + 3
    assert all(len(attributes["aria-label"]) > 30 for attributes in labelled)
    assert page.text.count("The numbers of this figure") == 5
    assert not re.search(r"\b(nan|inf)\b", html)


def test_first_screen_says_what_came_out(folder):
    html, page = read(folder)
    first = page.text.split("Temporal drift")[0]
    assert re.search(r"closes at least 60% of the distance from chance to the oracle on \d of 5 tasks", first)
    assert MODEL in first
    assert html.index(SYNTHETIC_BANNER) < html.index("<h1>")


def test_cohorts_outside_sampling_error_are_marked(folder):
    html, _ = read(folder)
    # The sample turns the length-of-stay ratios of 2021 around, which changes the outer two, and draws all others from
    # the paper's.
    assert html.count("outside sampling error") == 2


def test_markdown_has_the_tables(folder, data):
    text = (folder / "report.md").read_text()
    assert SYNTHETIC_BANNER in text
    assert "Table B" not in text.split("## Cohorts")[0]
    for row in data.rows:
        if row["metric"] == "auroc" and row["split"] == "temporal_2024" and row["trained_on"] in (None, "joint"):
            assert f"{row['value']:.3f} ({row['low']:.3f} \N{EN DASH} {row['high']:.3f})" in text
    widths = {}
    for line in text.splitlines():
        if line.startswith("|"):
            widths.setdefault(line.replace("\\|", "").count("|"), line)
    assert len(widths) > 3
    assert "<" not in text.replace("p < 0.001", "")


def test_a_first_run_on_a_real_hospital_says_what_is_missing(tmp_path):
    write_report(sample_without_extras(), tmp_path)
    _, page = read(tmp_path)
    assert "ynthetic" not in page.text
    for note in (
        "No jointly finetuned model.",
        "No single-task model.",
        "No oracle",
        "No calibration curve",
        "No loss curve",
        "No comprehension questions",
        "No cohort counts",
        "No rejected rows",
        "No artifacts",
    ):
        assert note in page.text
    assert "reaches a mean AUROC of" in page.text


def test_no_results_at_all(tmp_path, data):
    write_report(replace(data, rows=(), calibration=(), cohorts=(), loss_curves=()), tmp_path)
    _, page = read(tmp_path)
    assert "materialize an evaluation" in page.text


def test_text_from_outside_is_escaped(tmp_path, data):
    evil = '<script>alert("x")</script>|'
    rejects = (replace(data.rejects[0], reason=evil),)
    curves = (replace(data.loss_curves[1], name=evil),)
    write_report(replace(data, title=evil, rejects=rejects, loss_curves=curves), tmp_path)
    html, page = read(tmp_path)
    assert "<script" not in html
    assert evil in page.text
    assert "\\|" in (tmp_path / "report.md").read_text()


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_page_does_not_scroll_sideways(folder, tmp_path, width):
    assert content_width(folder / "index.html", width, tmp_path) == width


def test_the_same_data_gives_the_same_page(folder, data, tmp_path):
    write_report(data, tmp_path)
    assert (tmp_path / "index.html").read_bytes() == (folder / "index.html").read_bytes()
    assert (tmp_path / "report.md").read_bytes() == (folder / "report.md").read_bytes()


def test_several_models_stand_in_one_table(data, tmp_path):
    others = tuple({**row, "model": "other-model"} for row in data.rows if row["trained_on"] is None)
    write_report(replace(data, rows=data.rows + others), tmp_path)
    _, page = read(tmp_path)
    assert "AUROC on the 2024 test of every model" in page.text
    assert "other-model" in page.text


@pytest.fixture(scope="module")
def one_task():
    return sample_of_one_task()


@pytest.fixture(scope="module")
def one_task_folder(one_task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_task")
    write_report(one_task, folder)
    return folder


def both_pages(folder) -> tuple[str, str]:
    """Everything that either page says: its words and attributes without the style sheet, and the Markdown."""
    html, _ = read(folder)
    return re.sub(r"<style>.*?</style>", "", html, flags=re.S), (folder / "report.md").read_text()


def test_a_source_without_temporal_splits_has_no_word_of_them(one_task_folder, one_task):
    for said in both_pages(one_task_folder):
        assert not re.search(r"202[124]|temporal_|of the training years", said)
        assert "AUROC on the test set with 95% intervals" in said
        assert "Expected calibration error, 15 bins, test set" in said
        assert "One test set only" in said
        for row in one_task.rows:
            assert row["value"] is None or f"{row['value']:.3f}" in said


def test_switched_off_tasks_are_named_once_with_the_reason_and_nowhere_else(one_task_folder):
    titles = [TASKS[task].title for task in SWITCHED_OFF]
    for said in both_pages(one_task_folder):
        said = said.replace("&amp;", "&")
        assert f"Switched off: {', '.join(titles[:3])} ({NO_ADMISSION_NOTES})." in said
        assert f"Switched off: {titles[3]} ({NEITHER_NOTES_NOR_CLAIMS})." in said
        assert [said.count(title) for title in titles] == [1, 1, 1, 1]
        assert "B3" in said
        assert not re.search(r"B[4-7]\b|251,804", said)


def test_one_task_is_a_whole_report(one_task_folder, one_task):
    _, page = read(one_task_folder)
    charts = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(charts) == 2 + 1 + 3
    # A single panel is no chart as wide as the page: those are the first one and the two of pretraining.
    assert len([1 for tag, attributes in page.tags if "one" in attributes.get("class", "").split()]) == 4
    assert len([1 for tag, attributes in page.tags if attributes.get("class") == "task"]) == 1
    assert re.search(r"reaches an AUROC of 0\.\d{3} on the test set\. Finetuning takes the AUROC", page.text)
    assert "No result on" not in page.text
    assert "tested on (column)" not in page.text
    assert read_results(one_task_folder / "results.json") == list(one_task.rows)
    assert read_switched_off(one_task_folder / "results.json") == SWITCHED_OFF


def test_nothing_evaluated_yet_still_says_what_is_switched_off(one_task, tmp_path):
    write_report(replace(one_task, rows=(), calibration=(), cohorts=()), tmp_path)
    for said in both_pages(tmp_path):
        assert "on the test set is here yet" in said
        assert "No AUROC on the test set." in said
        assert "Switched off: " in said
        assert "2024" not in said


def test_results_of_an_earlier_source_are_named_and_kept(one_task, data, tmp_path):
    earlier = [row for row in data.rows if row["task"] == "mortality" and row["split"] == "temporal_2024"]
    write_report(replace(one_task, rows=(*one_task.rows, *earlier), calibration=data.calibration), tmp_path)
    _, page = read(tmp_path)
    note = "this source does not have them: In-hospital mortality, split temporal_2024."
    assert note in page.text
    assert len(read_results(tmp_path / "results.json")) == len(one_task.rows) + len(earlier)
    assert all(f"{row['value']:.3f}" in page.text for row in earlier)
    # One row of the table of every number for each of four trainings, one of which is named after the task, and the line
    # of what is switched off; the charts and the other tables have none.
    assert page.text.split(note)[1].count("In-hospital mortality") == 4 + 1 + 1
    assert "No calibration curve for this model." in page.text


def test_drift_of_a_source_with_two_tests(data, tmp_path):
    kept = tuple(row for row in data.rows if row["split"] != "temporal_2021")
    splits = ("train", "val", "test", "temporal_2024")
    off = {"insurance_denial": "the source has no claims that passed staging"}
    write_report(replace(data, rows=kept, splits=splits, switched_off=off), tmp_path)
    html, page = read(tmp_path)
    assert "AUROC on the test of the training years and on 2024." in page.text
    assert "AUROC on the two test sets" in html
    assert "Test to 2024" in page.text
    assert not re.search("Insurance denial: March|denial: 2022", page.text)


OTHER_YEARS = SplitTitles(
    common={"temporal_2021": "2016", "temporal_2024": "2018"}, of_tasks={"insurance_denial": {"temporal_2024": "2019"}}
)


def test_a_hospital_with_windows_of_other_years_has_its_own(data, folder, tmp_path):
    write_report(replace(data, split_titles=OTHER_YEARS), tmp_path)
    html, page = read(tmp_path)
    assert "AUROC on the 2018 test (insurance denial: 2019)" in page.text
    assert "AUROC on the test of the training years, on 2016 and on 2018 (insurance denial: 2019)." in page.text
    assert "Insurance denial, 2019 test" in html
    # The paper's own tables alone have its years.
    said = re.sub(r"<style>.*?</style>", "", html, flags=re.S).split('<section id="cohorts"')[0]
    assert not re.search(r"\b202[124]\b", said)
    paper = "The paper's later tests are of 2021 (insurance denial: 2022) and of 2024."
    assert paper in page.text
    assert "The paper's later tests" not in read(folder)[1].text


def test_a_report_that_cannot_be_names_every_problem(data):
    with pytest.raises(
        ReportError, match=r"'temporal_2024' is no test split; splits are train, val, test.*task: triage"
    ):
        replace(data, splits=("train", "val", "test"), switched_off={"triage": "no triage notes"})
    with pytest.raises(ReportError, match="'val' is no test split"):
        replace(data, headline_split="val")


def test_the_leaderboard_has_models_from_elsewhere_and_says_how_they_answered(folder):
    html, _ = read(folder)
    section = html[html.index('id="leaderboard"') : html.index('id="drift"')]
    assert "synthetic" in section
    assert section.count("ward-server") == section.count("assistant") == len(TASKS)
    assert "4.5% invalid" in section
    assert section.count("\N{DAGGER}") == len(TASKS) + 1
    assert "12 rescued, 3 unscored" in section
    assert section.count(">p (Holm)</th>") == len(TASKS)
    assert "adjusted for all models that are compared with the best of the task" in section
