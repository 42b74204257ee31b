"""What a baseline knows of a patient: by hand, by a slow second implementation, and never from after the prediction."""

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.baselines.structured import (
    CATEGORIES,
    CODING_DAYS,
    NOT_RECORDED,
    NUMBERS,
    StructuredError,
    structured_features,
)
from tests.ops.baselines.hospital import NOW, cohort, stay, write_tables

NOTE = cohort(("n1", "own", "p1", NOW))
OWN = stay("own", "p1", NOW - timedelta(hours=6), 3)


def one(folder: Path, stays: list[dict[str, Any]], **tables: Any) -> dict[str, Any]:
    return structured_features(NOTE, write_tables(folder, stays, **tables)).row(0, named=True)


def test_a_patient_with_a_past_by_hand(tmp_path: Path) -> None:
    stays = [
        OWN,
        stay("last", "p1", NOW - timedelta(days=40), 10),
        stay("long-ago", "p1", NOW - timedelta(days=800), 5),
        stay("somebody-else", "p2", NOW - timedelta(days=4), 1),
    ]
    found = one(tmp_path, stays, scores={"last": 2, "long-ago": 4, "own": 9}, departments={"n1": "Cardiology"})
    assert found == {
        "note_id": "n1",
        "age": 60,
        "hours_since_admission": 6,
        "num_earlier_stays": 2,
        "num_stays_in_a_year": 1,
        "days_since_last_stay": 30,
        "days_in_hospital_before": 15,
        "earlier_charlson_score": 4,
        "sex": "F",
        "race": NOT_RECORDED,
        "ethnicity": "Unknown",
        "borough": "Queens",
        "note_department": "Cardiology",
        "admission_type": "emergency",
        "admission_weekday": "Wednesday",
        "admission_time_of_day": "6 to 12 h",
    }


def test_without_a_past_nothing_is_invented(tmp_path: Path) -> None:
    found = one(tmp_path, [OWN], scores={"own": 9})
    assert (found["num_earlier_stays"], found["days_in_hospital_before"]) == (0, 0)
    assert (found["days_since_last_stay"], found["earlier_charlson_score"]) == (None, None)
    assert found["note_department"] == NOT_RECORDED


def test_a_note_written_before_the_admission_knows_nothing_of_it(tmp_path: Path) -> None:
    found = one(tmp_path, [stay("own", "p1", NOW + timedelta(days=2), 3)])
    assert found["hours_since_admission"] is None
    assert {found[name] for name in CATEGORIES if name.startswith("admission")} == {NOT_RECORDED}


@pytest.mark.parametrize(("days_ago", "expected"), [(CODING_DAYS, 3), (CODING_DAYS - 0.01, None)])
def test_codes_count_once_a_stay_has_been_coded(tmp_path: Path, days_ago: float, expected: int | None) -> None:
    earlier = stay("earlier", "p1", NOW - timedelta(days=days_ago + 2), 2)
    assert one(tmp_path, [OWN, earlier], scores={"earlier": 3})["earlier_charlson_score"] == expected


def test_a_stay_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StructuredError, match="encounter own, whose note n1"):
        structured_features(NOTE, write_tables(tmp_path / "t", [stay("other", "p1", NOW, 1)]))


def test_visits_that_are_no_stays_are_no_history(tmp_path: Path) -> None:
    before = stay("before", "p1", NOW - timedelta(days=40), 10)
    visits = [
        stay("clinic", "p1", NOW - timedelta(days=5), 0.1, encounter_class="outpatient"),
        # Open for years, as a series of visits may be; and one that never ended.
        stay("series", "p1", NOW - timedelta(days=900), 800, encounter_class="outpatient"),
        stay("open", "p1", NOW - timedelta(days=2), None, encounter_class="other"),
        stay("emergency-room", "p1", NOW - timedelta(days=20), 0.5, encounter_class="emergency"),
    ]
    scores = {"before": 2, "series": 8}
    found = one(tmp_path, [OWN, before, *visits], scores=scores)
    assert found == one(tmp_path, [OWN, before], scores=scores)
    assert (found["num_earlier_stays"], found["days_since_last_stay"]) == (1, 30)
    both = one(tmp_path, [OWN, before, *visits], scores=scores, stay_classes=("inpatient", "emergency"))
    assert (both["num_earlier_stays"], both["days_since_last_stay"], both["days_in_hospital_before"]) == (2, 19.5, 10.5)
    assert (both["num_stays_in_a_year"], both["earlier_charlson_score"]) == (2, 2)


def test_where_every_encounter_is_a_stay_other_classes_change_nothing(tmp_path: Path) -> None:
    stays = [OWN, stay("before", "p1", NOW - timedelta(days=40), 10), stay("next", "p1", NOW - timedelta(days=4), 1)]
    classes = ("inpatient", "emergency", "observation", "outpatient", "other")
    assert one(tmp_path, stays) == one(tmp_path, stays, stay_classes=classes)


def test_a_note_s_own_encounter_is_known_whatever_its_class(tmp_path: Path) -> None:
    found = one(tmp_path, [{**OWN, "encounter_class": "emergency"}])
    assert (found["hours_since_admission"], found["num_earlier_stays"]) == (6, 0)


def test_rows_keep_the_order_of_the_cohort(tmp_path: Path) -> None:
    notes = cohort(("b", "own", "p1", NOW), ("a", "own", "p1", NOW + timedelta(hours=2)))
    found = structured_features(notes, write_tables(tmp_path / "t", [OWN]))
    assert found["note_id"].to_list() == ["b", "a"]
    assert found["hours_since_admission"].to_list() == [6, 8]


HOURS = st.integers(-24 * 400, 24 * 400)
STAYS = st.lists(
    st.tuples(
        HOURS,
        st.none() | st.integers(0, 24 * 60),
        st.none() | st.integers(0, 9),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["inpatient", "inpatient", "outpatient"]),
    ),
    max_size=6,
)


def drawn(stays: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    rows = [
        stay(
            f"s{i}",
            patient,
            NOW + timedelta(hours=first),
            None if length is None else length / 24,
            encounter_class=encounter_class,
        )
        for i, (first, length, _, patient, encounter_class) in enumerate(stays)
    ]
    return rows, {f"s{i}": score for i, (_, _, score, _, _) in enumerate(stays) if score is not None}


def features_of(stays: list[dict[str, Any]], scores: dict[str, int]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        tables = write_tables(Path(folder), stays, scores, {"n1": "Cardiology"})
        return structured_features(NOTE, tables).row(0, named=True)


@settings(deadline=None, max_examples=60)
@given(stays=STAYS, end=st.integers(0, 1000), score=st.integers(0, 9))
def test_what_comes_after_the_prediction_changes_nothing(stays: Any, end: int, score: int) -> None:
    rows, scores = drawn(stays)
    own = {**OWN, "discharge_time": NOW + timedelta(hours=end)}
    changed = [{**own, "discharge_time": NOW, "discharge_disposition": "Home", "department": "Other"}]
    for row in rows:
        ends_later = row["discharge_time"] is None or row["discharge_time"] > NOW
        if row["admit_time"] < NOW:
            # It had begun: when it will end is not known yet.
            changed.append({**row, "discharge_time": NOW + timedelta(days=1)} if ends_later else row)
    kept = {row["encounter_id"]: row["discharge_time"] for row in changed}
    coded = NOW - timedelta(days=CODING_DAYS)
    later_scores = {
        name: value if kept[name] is not None and kept[name] <= coded else score
        for name, value in scores.items()
        if name in kept
    }
    assert features_of([own, *rows], {**scores, "own": 3}) == features_of(changed, {**later_scores, "own": score})


def slowly(stays: list[dict[str, Any]], scores: dict[str, int]) -> dict[str, float | None]:
    """The history as one would count it by hand."""
    own = [row for row in stays if row["subject_id"] == "p1" and row["encounter_class"] == "inpatient"]
    past = [row for row in own if row["admit_time"] < NOW]
    ends: dict[str, datetime | None] = {
        row["encounter_id"]: row["discharge_time"] if row["discharge_time"] and row["discharge_time"] <= NOW else None
        for row in past
    }
    since = [NOW - (ends[row["encounter_id"]] or row["admit_time"]) for row in past]
    lengths = [end - row["admit_time"] for row in past if (end := ends[row["encounter_id"]]) is not None]
    coded = [
        scores[name]
        for name, end in ends.items()
        if end and end <= NOW - timedelta(days=CODING_DAYS) and name in scores
    ]
    day = timedelta(days=1)
    return {
        "num_earlier_stays": len(past),
        "num_stays_in_a_year": sum(NOW - row["admit_time"] <= timedelta(days=365) for row in past),
        "days_since_last_stay": min(since) / day if since else None,
        "days_in_hospital_before": sum(lengths, timedelta()) / day,
        "earlier_charlson_score": max(coded, default=None),
    }


@settings(deadline=None, max_examples=60)
@given(stays=STAYS)
def test_the_history_is_what_one_counts_by_hand(stays: Any) -> None:
    rows, scores = drawn(stays)
    found = features_of([OWN, *rows], scores)
    assert {name: found[name] for name in NUMBERS if name not in ("age", "hours_since_admission")} == pytest.approx(
        slowly(rows, scores)
    )
