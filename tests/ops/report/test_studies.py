"""The page of a study set: claims first, every figure with its numbers, nothing twice, readable by everyone."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

import pytest

from lang1_assets.ops.report import StudyResult, write_report
from lang1_assets.ops.report.briefs import BRIEFS
from lang1_assets.ops.report.cards import card_html
from lang1_assets.ops.report.study_data import Memorized
from lang1_assets.ops.report.study_sections import VERDICTS, by_heart, comparison
from lang1_assets.ops.report.summary import DECAY, summary
from lang1_assets.ops.study.claim import Judged
from lang1_assets.ops.study.names import ANALYSIS_NAMES, STUDY_NAMES
from lang1_assets.ops.study.studies import ANALYSES, CLAIMS, STUDIES
from tests.ops.report.reading import content_width, needs_browser, printed_pages, read
from tests.ops.report.sample import EVIL, MODEL, sample_report, sample_with_studies
from tests.ops.study.sample import TASKS, figure_of, point


@pytest.fixture(scope="module")
def data():
    return sample_with_studies()


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    write_report(data, folder)
    return folder


@pytest.fixture(scope="module")
def html(folder) -> str:
    return read(folder)[0]


def heading_levels(html: str) -> list[int]:
    return [int(level) for level in re.findall(r"<h([1-6])\b", html)]


def test_the_findings_come_first_then_the_main_chart_then_the_studies(html):
    places = [html.index(f'id="{name}"') for name in ("claims", "results", "studies", "leaderboard", "cards")]
    assert places == sorted(places)


def test_a_verdict_is_a_word_a_symbol_and_a_color(html, data):
    for judged in data.claims:
        words, tone = VERDICTS[judged.verdict]
        assert f'<span class="verdict {tone}"><span aria-hidden="true">{words[0]}</span>{words[1:]}</span>' in html
        assert " ".join(judged.numbers.split()) in " ".join(html.split())
    assert len({words[0] for words, _ in VERDICTS.values()}) == len({tone for _, tone in VERDICTS.values()}) == 3


def test_the_findings_are_counted_then_listed_by_verdict_then_told_in_full_below_a_fold(html, data):
    section = html[html.index('<section id="claims"') : html.index('<section id="results"')]
    counts, lists = re.split(r'<div class="groups">', section, maxsplit=1)
    assert re.findall(r"<b>(\d+)</b>", counts) == ["1", "1", "1"]
    assert lists.index("</ul>") < lists.index("<table")
    assert len(re.findall(r"<details><summary>.*?<table", lists, flags=re.S)) == section.count("<table") == 2
    for judged in data.claims:
        # Once under its heading; what cannot be told a second time, folded, for a phone.
        assert lists.count(f"<span>{judged.claim.statement}</span>") == 1 + (judged.verdict == "cannot tell")
    assert re.findall(r"<h3[^>]*>.*?</span>\s*(.*?)</h3>", lists) == [*VERDICTS, "cannot tell (1)"]
    assert "docs/studies.md" in lists


def test_every_claim_has_words_for_one_line():
    assert set(BRIEFS) == {claim.name for claim in CLAIMS}
    assert max(len(brief) for brief in BRIEFS.values()) <= 40
    assert len(set(BRIEFS.values())) == len(BRIEFS)


def test_a_line_says_of_how_many_a_claim_is():
    """A claim about all but one, three, or one of several numbers says less than its subject alone would."""
    words = {9: "all but one", 3: "3", 1: ("one", "Some")}
    for question in (question for study in (*STUDIES, *ANALYSES) for question in study.questions):
        needed = question.needed(10)
        if needed != 10:
            said = words[needed]
            assert any(word in BRIEFS[question.claim.name] for word in ((said,) if isinstance(said, str) else said))


def test_a_region_is_told_in_words():
    bounds = {"lower": -0.01, "upper": 0.01}
    assert comparison({"about": "stay", "region": bounds}) == "about stay, region above -0.01 and below 0.01"
    assert comparison({"region": {"lower": 0, "upper": None}, "absent": ["x"]}) == "region above 0"


def test_a_finding_leads_to_its_figure_and_only_where_there_is_one(folder):
    _, page = read(folder)
    inside = {a["href"] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")}
    names = {a["id"] for _, a in page.tags if "id" in a}
    assert {"#study-finetuned_comparison", "#study-emergence", "#main"} <= inside
    assert "#study-other_hospital" not in inside
    assert {href[1:] for href in inside} <= names


def test_a_finding_about_labels_or_groups_leads_to_its_analysis_below_the_studies(data, tmp_path):
    figure = figure_of("strata", "bars", [point("a group", "Sex: F", 0.6, source="strata/ours")], paper="Fig. K8")
    urls = {"asset_url": "http://dagster/assets/strata", "mlflow_url": "http://mlflow/k8"}
    analysis = StudyResult(name="strata", figures=(figure,), **urls)
    (question,) = next(study for study in ANALYSES if study.name == "strata").questions
    judged = replace(data.claims[0], claim=question.claim, figure="strata")
    write_report(replace(data, studies=(*data.studies, analysis), claims=(judged,)), tmp_path)
    html, page = read(tmp_path)
    links = [a["href"] for tag, a in page.tags if tag == "a"]
    # Its line on the first screen, and the table of the findings.
    assert links.count("#study-strata") == 2
    studies, part = html.split('id="study-strata"')
    assert "<h2" not in studies.split('id="studies"')[1].split('<div class="part"', 1)[1]
    assert set(urls.values()) <= set(links)
    table = re.search(r"<table.*?</table>", part.split("</section>")[0], flags=re.S)
    assert table
    assert "Sex: F" in table[0]
    assert "strata/ours" in table[0]
    assert "Synthetic data" in re.findall(r"<svg.*?</svg>", part, flags=re.S)[0]
    assert "label_dependence, patient_overlap" in html


def test_what_is_left_out_of_the_analyses_is_named_and_not_asked_for(data, tmp_path):
    write_report(replace(data, left_out=("strata/ours",)), tmp_path)
    html, _ = read(tmp_path)
    section = html[html.index('<section id="studies"') :]
    assert "made anew since: strata/ours." in section
    assert "label_dependence, patient_overlap." in section


def test_a_study_says_what_it_is_without(data, tmp_path):
    lacking = ("Without: mortality_evaluation/ours, zero_shot_evaluation/other.",)
    write_report(replace(data, studies=(replace(data.studies[0], missing=lacking), *data.studies[1:])), tmp_path)
    html, _ = read(tmp_path)
    assert html.count(lacking[0]) == (tmp_path / "report.md").read_text().count(lacking[0]) == 1
    part = html[html.index(f'id="study-{data.studies[0].name}"') : html.index(f'id="study-{data.studies[1].name}"')]
    assert part.index(lacking[0]) < part.index("<figure")


def test_an_analysis_without_rows_says_why(data, tmp_path):
    off = "Switched off: the source has no H&P notes."
    write_report(replace(data, studies=(StudyResult(name="label_dependence", figures=(), missing=(off,)),)), tmp_path)
    _, page = read(tmp_path)
    assert off in page.text
    assert "has no figure yet" not in page.text


def judged_decay(value, low, high, verdict, about=MODEL):
    """The finding about the latest test, as it is judged."""
    claim = next(claim for claim in CLAIMS if claim.name == DECAY)
    numbers = {"value": value, "low": low, "high": high} if value is not None else {}
    detail = {"about": f"{about}, latest test less first, mean of 5 tasks", **numbers}
    return Judged(claim=claim, verdict=verdict, numbers="", figure="temporal_decay", details=(detail,))


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (
            judged_decay(-0.033, -0.066, 0.001, "cannot tell"),
            "is 0.033 lower on the 2024 test than on the test of the training years (95% interval \N{MINUS SIGN}0.066 to "
            "+0.001), which chance alone could do.",
        ),
        (judged_decay(-0.05, -0.08, -0.02, "holds"), "to \N{MINUS SIGN}0.020)."),
        (judged_decay(0.05, 0.02, 0.08, "does not hold"), "is 0.050 higher on the 2024 test"),
    ],
)
def test_how_the_latest_test_differs_is_said_with_its_interval(data, judged, words):
    said = summary(replace(data, claims=(judged,)))
    assert words in said
    assert ("chance alone could do" in said) == (judged.verdict == "cannot tell")
    assert "not judged" not in said


@pytest.mark.parametrize(
    "claims",
    [
        (),
        (judged_decay(None, None, None, "cannot tell"),),
        (judged_decay(-0.05, -0.08, -0.02, "holds", about="another-model"),),
        (replace(judged_decay(None, None, None, "cannot tell"), details=()),),
    ],
)
def test_where_it_was_not_judged_neither_test_is_called_better(data, claims):
    said = summary(replace(data, claims=claims))
    assert re.search(
        r"is 0\.\d{3} on the test of the training years and 0\.\d{3} on the 2024 test; whether chance", said
    )
    assert not re.search(r"lower|higher", said)


def test_no_id_stands_twice(folder):
    _, page = read(folder)
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))


def test_headings_are_in_order(html):
    levels = heading_levels(html)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_chart_has_words_and_every_table_a_caption_and_scopes(html):
    charts = re.findall(r"<svg[^>]*role=\"img\".*?</svg>", html, flags=re.S)
    assert len(charts) > 20
    for chart in charts:
        root = ElementTree.fromstring(chart)
        said = root.get("aria-label") or " ".join(root.findtext(name) or "" for name in ("title", "desc"))
        assert len(said) > 30
    for box in re.findall(r'<div class="table-box"[^>]*>', html):
        assert 'role="region"' in box
        assert re.search(r'aria-label="[^"]+"', box)
    tables = re.findall(r"<table.*?</table>", html, flags=re.S)
    for table in tables:
        assert table.count('scope="row"') == table.count("<tr") - 1
        assert re.search(r"<caption[^>]*>[^<]+</caption>", table)
        assert table.count("<th") == len(re.findall(r"<th[^>]*scope=", table)) + table.count("<thead")


def test_a_section_with_numbers_of_models_says_that_they_are_synthetic(html, data, tmp_path):
    for anchor in ("claims", "results", "studies", "leaderboard", "memorization", "cards"):
        assert re.search(rf'<h2 id="{anchor}-title">[^<]+ \(synthetic data\)</h2>', html), anchor
    write_report(replace(data, is_synthetic=False, studies=()), tmp_path)
    assert "(synthetic data)" not in (tmp_path / "index.html").read_text()


def test_there_are_landmarks_and_a_way_past_the_navigation(html):
    for tag in ("<header", "<main", "<nav", "<footer"):
        assert html.count(tag) == 1
    assert html.index('class="skip" href="#main"') < html.index("<header")


def test_nothing_is_needed_from_elsewhere(folder):
    html, page = read(folder)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img", "iframe", "object", "embed", "audio", "video"}
    assert not re.search(r"@import|url\(|\bsrc=|xlink|@font-face", html)


def test_what_a_study_shows_is_not_shown_again(html, data):
    for title in ("drift", "calibration", "trajectory"):
        assert f'id="{title}"' not in html
    alone = replace(data, studies=tuple(study for study in data.studies if study.name != "calibration"))
    assert "calibration" not in alone.study_names
    # The errors of calibration stay, below the study's curves.
    assert "Expected calibration error, 15 bins" in html


def test_without_the_study_the_old_section_is_back(data, tmp_path):
    kept = tuple(study for study in data.studies if study.name not in ("calibration", "temporal_decay"))
    write_report(replace(data, studies=kept), tmp_path)
    html, _ = read(tmp_path)
    for name in ("drift", "calibration"):
        assert f'<section id="{name}"' in html
    assert (
        "Not made yet: token_budget, other_hospital, temporal_decay, ablations, calibration, label_dependence, strata, "
        "patient_overlap." in html
    )


def test_every_point_is_in_the_table_below_its_figure(folder, data):
    html, page = read(folder)
    points = [each for study in data.studies for figure in study.figures for each in figure.points]
    tables = " ".join(re.findall(r"<table.*?</table>", html, flags=re.S))
    for each in points:
        assert each.value is None or f"{each.value:.3f}".replace("-", "\N{MINUS SIGN}") in tables
        assert each.source in tables
    assert "not scored" in page.text
    links = {a["href"] for tag, a in page.tags if tag == "a"}
    assert {study.asset_url for study in data.studies} | {study.mlflow_url for study in data.studies} <= links


def test_memorization_says_its_verdict(folder):
    _, page = read(folder)
    assert "0 of 20 canaries planted once are exposed" in page.text
    assert "nothing found" in page.text
    assert "memorized" in page.text.split("3 of 20 canaries")[0].rsplit("lang1-tiny-repeated", 1)[1]


def test_the_plain_page_names_the_command_once_and_has_no_empty_headings(tmp_path):
    write_report(sample_report(num_resamples=20), tmp_path)
    html, page = read(tmp_path)
    assert page.text.count("make study") == 1
    assert "make study" in (tmp_path / "report.md").read_text()
    for name in ("claims", "studies", "memorization", "cards"):
        assert f'id="{name}"' not in html
    for name in ("drift", "calibration", "trajectory"):
        assert f'<section id="{name}"' in html


def test_where_all_was_made_nothing_is_asked_for(data, tmp_path):
    figure = figure_of("x", "bars", [point("a", "b", 0.6)])
    absent = [name for name in (*STUDY_NAMES, *ANALYSIS_NAMES) if name not in data.study_names]
    extra = [replace(data.studies[0], name=name, figures=(figure,)) for name in absent]
    write_report(replace(data, studies=(*data.studies, *extra)), tmp_path)
    _, page = read(tmp_path)
    assert "make study" not in page.text
    assert "Not made yet" not in page.text


def test_hostile_names_stay_text(data, tmp_path):
    figure = figure_of("transfer", "heatmap", [point(EVIL, task, 0.6) for task in TASKS], title=EVIL, caption=EVIL)
    study = replace(data.studies[0], figures=(figure,))
    claim = replace(data.claims[0], numbers=EVIL, claim=replace(data.claims[0].claim, statement=EVIL))
    write_report(replace(data, studies=(study,), claims=(claim,)), tmp_path)
    html, page = read(tmp_path)
    assert "<script" not in html
    assert page.text.count(EVIL) > 5
    assert "\\|" in (tmp_path / "report.md").read_text()


def test_a_card_keeps_its_words_and_loses_what_is_dangerous():
    made = card_html("### A\n\n# B\n\n<b onclick=x>y</b> [a](javascript:alert(1))\n\n| x |\n| --- |\n| 1 |\n", "m")
    assert heading_levels(made) == [3, 3]
    assert "&lt;b onclick=x&gt;" in made
    assert 'href="javascript' not in made
    assert "<caption>B</caption>" in made
    assert '<th scope="col">x</th>' in made


def test_a_table_of_a_card_has_a_name_where_it_takes_the_focus_and_a_header_for_each_row():
    made = card_html('## Who "they" are\n\n| group | notes |\n| --- | ---: |\n| new | 1 |\n| seen | 2 |\n', "m")
    assert 'role="region" aria-label="Who &quot;they&quot; are" tabindex="0"' in made
    assert re.findall(r'<th scope="row">(\w+)</th>', made) == ["new", "seen"]
    assert re.findall(r"<td[^>]*>(\w+)</td>", made) == ["1", "2"]
    assert re.findall(r"<th[^>]*scope=\"col\"[^>]*>(\w+)</th>", made) == ["group", "notes"]
    assert made.count("<th") - made.count("<thead") == made.count("</th>") == 4


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_scrolls_sideways(folder, tmp_path, width):
    assert content_width(folder / "index.html", width, tmp_path) == width


@needs_browser
def test_print_opens_what_is_folded(folder, html, tmp_path):
    closed = tmp_path / "closed.html"
    rule = re.compile(r"details::details-content \{[^}]*\}")
    assert rule.search(html)
    closed.write_text(rule.sub("", html))
    assert printed_pages(folder / "index.html", tmp_path) > printed_pages(closed, tmp_path) + 5


def test_what_was_not_measured_is_not_called_clean() -> None:
    held = Memorized(model="m", is_clean=True, verdict="not measured: its training text is not known here")
    assert by_heart(held) == ("? not measured", "open")
    assert by_heart(replace(held, verdict="nothing"))[1] == "good"
