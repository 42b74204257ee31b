"""What is to be done is decided by what there is: the same exports end in the same state, in whatever order they came."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.landing.arrivals import Arrival
from lang1_assets.ops.landing.months import day_after
from lang1_assets.ops.landing.plan import (
    COHORTS,
    EVALUATION,
    EXPORT,
    Evaluated,
    Exports,
    Labelled,
    Refused,
    State,
    Taken,
    choices,
    due,
    needed_again,
)

DAYS = {"readmission": 30, "mortality": 0}
MONTHS = ("2025-01", "2025-02", "2025-03", "2025-04")


@dataclass
class Hospital:
    """An area, a store and their runs: what each step leaves is a function of what it reads, as in the real ones."""

    area: dict[str, Arrival] = field(default_factory=dict)
    state: State = field(default_factory=lambda: State(in_service={"joint": "model"}))
    done: list[str] = field(default_factory=list)
    """Keys of the work, in order."""
    scored: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    clock: int = 0

    def land(self, month: str, content: str, until: str | None = None) -> None:
        """A whole export; each writing has times of its own."""
        self.clock += 1
        days = until or day_after(month).isoformat()
        self.area[month] = Arrival(
            month=month, listing=f"{content}/{self.clock}", since=0, content=content, covers_until=days
        )

    def land_half(self, month: str) -> None:
        self.clock += 1
        self.area[month] = Arrival(month=month, listing=f"half/{self.clock}", since=0, waiting_for="the rest")

    def land_corrupt(self, month: str) -> None:
        """Its manifest is right, and a file of it is not."""
        self.land(month, f"corrupt {self.clock}")

    def due(self) -> list[Any]:
        needed = needed_again(self.state, DAYS)
        taken = {month: one.listing for month, one in self.state.taken.items() if month not in needed}
        arrived = {month: one for month, one in self.area.items() if taken.get(month) != one.listing}
        return due(self.state, arrived, DAYS)

    def work(self, place: int = 0) -> bool:
        """Do one of the pieces of work that are due; False where there is none."""
        asked = self.due()
        if not asked:
            return False
        self.run(asked[place % len(asked)])
        return True

    def run(self, work: Any) -> None:
        assert work.key not in self.done, "the same work was asked for twice"
        self.done.append(work.key)
        for step in work.steps:
            if not {EXPORT: self.take, COHORTS: self.label, EVALUATION: self.evaluate}[step](work.month):
                return

    def take(self, month: str) -> bool:
        arrival, before = self.area[month], self.state.taken.get(month)
        holder = next((m for m, t in self.state.taken.items() if t.content == arrival.content and m != month), None)
        if str(arrival.content).startswith("corrupt") or holder:
            refused = Refused(listing=arrival.listing, content=arrival.content if holder else None, held_by=holder)
            self.state = replace(self.state, refused={**self.state.refused, month: refused})
            return False
        taken = Taken(
            content=str(arrival.content),
            covers_until=date.fromisoformat(str(arrival.covers_until)),
            revision=1 if before is None else before.revision + (before.key != arrival.key),
            listing=arrival.listing,
        )
        self.state = replace(self.state, taken={**self.state.taken, month: taken})
        return True

    def label(self, month: str) -> bool:
        taken, before = self.state.taken[month], self.state.labelled.get(month)
        ripe = Exports.of(self.state.taken).to_be_made_with(month, before.key if before else None, DAYS)
        if ripe is None:
            return before is not None
        self.clock += 1
        made = Labelled(
            key=taken.key,
            followed_by=ripe.followed_by,
            unripe=frozenset(ripe.unripe),
            fingerprint=f"{taken.key} {sorted(ripe.followed_by.items())} {sorted(ripe.unripe)}",
            created=str(self.clock),
        )
        self.state = replace(self.state, labelled={**self.state.labelled, month: made})
        return True

    def evaluate(self, month: str) -> bool:
        cohorts, before = self.state.labelled[month].fingerprint, self.state.evaluated.get(month, {})
        self.clock += 1
        found = {
            recipe: Evaluated(model=model, cohorts=cohorts, created=str(self.clock))
            for recipe, model in self.state.in_service.items()
        }
        for recipe, one in found.items():
            if (recipe not in before) or (before[recipe].model, before[recipe].cohorts) != (one.model, one.cohorts):
                self.scored[month, one.model, one.cohorts] += 1
        self.state = replace(self.state, evaluated={**self.state.evaluated, month: found})
        return True

    def finish(self) -> None:
        for _ in range(200):
            if not self.work():
                return
        raise AssertionError("the work never ends")

    @property
    def outcome(self) -> Mapping[str, Any]:
        """All but when and as which revision."""
        return {
            "taken": {month: one.key for month, one in sorted(self.state.taken.items())},
            "labelled": {m: (one.key, one.fingerprint) for m, one in sorted(self.state.labelled.items())},
            "evaluated": {
                m: {recipe: (one.model, one.cohorts) for recipe, one in of_month.items()}
                for m, of_month in sorted(self.state.evaluated.items())
            },
        }


def in_order(final: Mapping[str, str]) -> Hospital:
    hospital = Hospital()
    for month, content in sorted(final.items()):
        hospital.land(month, content)
        hospital.finish()
    return hospital


EVENTS = st.one_of(
    st.tuples(st.sampled_from(["land", "earlier", "half", "corrupt"]), st.sampled_from(MONTHS), st.integers(0, 2)),
    st.tuples(st.just("work"), st.just(""), st.integers(0, 5)),
)


@given(st.sets(st.sampled_from(MONTHS), min_size=1), st.lists(EVENTS, max_size=40), st.permutations(MONTHS))
def test_any_order_ends_as_arrival_in_order_does(there: set[str], events: list[Any], last: list[str]) -> None:
    """Late, twice, half, corrupt, corrected and corrected back, with any of the work that is due done in between."""
    final = {month: f"{month} final" for month in there}
    hospital = Hospital()
    for kind, month, number in events:
        if kind == "work":
            hospital.work(number)
        elif month in there:
            if kind == "land":
                hospital.land(month, final[month])
            elif kind == "earlier":
                # An earlier version, which may reach less far.
                hospital.land(month, f"{month} version {number}", None if number else f"{month}-20")
            elif kind == "half":
                hospital.land_half(month)
            else:
                hospital.land_corrupt(month)
    for month in last:
        if month in there:
            hospital.land(month, final[month])
    hospital.finish()
    assert hospital.outcome == in_order(final).outcome
    assert hospital.due() == []


@given(st.permutations(MONTHS), st.lists(st.integers(0, 5), max_size=30))
def test_nothing_is_scored_twice(order: list[str], places: list[int]) -> None:
    hospital = Hospital()
    for month in order:
        hospital.land(month, f"{month} content")
        for place in places[:3]:
            hospital.work(place)
        hospital.land(month, f"{month} content")
    hospital.finish()
    assert set(hospital.scored.values()) == {1}


def test_what_each_month_asks_for() -> None:
    hospital = Hospital()
    hospital.land("2025-01", "first")
    (work,) = hospital.due()
    assert (work.month, work.steps) == ("2025-01", (EXPORT, COHORTS, EVALUATION))
    hospital.finish()
    assert hospital.state.labelled["2025-01"].unripe == {"readmission"}
    hospital.land("2025-02", "second")
    hospital.finish()
    assert hospital.state.labelled["2025-01"].unripe == {"readmission"}, "February is too short"
    hospital.land("2025-03", "third")
    hospital.work()
    (ripens, also) = hospital.due()
    assert (ripens.month, ripens.steps) == ("2025-01", (COHORTS, EVALUATION))
    assert also.month == "2025-02"
    hospital.finish()
    assert list(hospital.state.labelled["2025-01"].followed_by) == ["2025-02", "2025-03"]


def test_a_duplicate_asks_for_nothing() -> None:
    hospital = in_order({"2025-01": "first"})
    hospital.land("2025-01", "first")
    assert hospital.due() == []


def test_a_correction_is_a_revision_and_evaluated_again_with_what_was_joined_to_it() -> None:
    hospital = in_order({"2025-01": "one", "2025-02": "two", "2025-03": "three"})
    hospital.land("2025-03", "three, corrected")
    hospital.finish()
    assert hospital.state.taken["2025-03"].revision == 2
    assert hospital.state.labelled["2025-01"].followed_by["2025-03"] == "three, corrected"
    assert hospital.outcome == in_order({"2025-01": "one", "2025-02": "two", "2025-03": "three, corrected"}).outcome


def test_corrected_back_it_is_news_again() -> None:
    hospital = Hospital()
    for content in ("a", "b", "a", "b", "a"):
        hospital.land("2025-01", content)
        hospital.finish()
    assert (hospital.state.taken["2025-01"].content, hospital.state.taken["2025-01"].revision) == ("a", 5)
    assert hospital.outcome == in_order({"2025-01": "a"}).outcome


def test_the_same_content_as_another_month_is_refused_until_that_month_is_corrected() -> None:
    hospital = in_order({"2025-01": "february's by mistake"})
    hospital.land("2025-02", "february's by mistake")
    hospital.finish()
    assert list(hospital.state.taken) == ["2025-01"]
    assert hospital.state.refused["2025-02"].held_by == "2025-01"
    assert hospital.due() == []
    hospital.land("2025-01", "january's")
    hospital.finish()
    assert hospital.outcome == in_order({"2025-01": "january's", "2025-02": "february's by mistake"}).outcome


def test_a_corrupt_export_leaves_the_earlier_one_and_is_tried_once() -> None:
    hospital = in_order({"2025-01": "good"})
    before = hospital.outcome
    hospital.land_corrupt("2025-01")
    hospital.finish()
    assert hospital.outcome == before
    assert hospital.due() == []


def test_without_a_model_in_service_the_months_wait_for_one() -> None:
    hospital = Hospital(state=State())
    hospital.land("2025-01", "first")
    (work,) = hospital.due()
    assert work.steps == (EXPORT, COHORTS)
    hospital.finish()
    hospital.state = replace(hospital.state, in_service={"joint": "model"})
    (work,) = hospital.due()
    assert work.steps == (EVALUATION,)
    hospital.finish()
    assert hospital.outcome == in_order({"2025-01": "first"}).outcome


def test_a_model_that_takes_over_is_asked_about_every_month_and_one_that_returns_too() -> None:
    hospital = in_order({"2025-01": "one", "2025-02": "two"})
    for model in ("better", "model", "better"):
        hospital.state = replace(hospital.state, in_service={"joint": model})
        assert [work.steps for work in hospital.due()] == [(EVALUATION,)] * 2
        hospital.finish()


def test_every_recipe_in_service_is_asked() -> None:
    hospital = in_order({"2025-01": "one"})
    hospital.state = replace(hospital.state, in_service={"joint": "model", "mortality": "another"})
    (work,) = hospital.due()
    assert work.steps == (EVALUATION,)
    hospital.finish()
    assert set(hospital.state.evaluated["2025-01"]) == {"joint", "mortality"}


def test_what_was_deleted_after_its_time_is_not_made_again() -> None:
    hospital = in_order({"2025-01": "one", "2025-02": "two", "2025-03": "three"})
    taken = {month: replace(one, has_files=False) for month, one in hospital.state.taken.items()}
    hospital.state = replace(hospital.state, taken=taken)
    assert hospital.due() == []
    # A later month that is corrected has no files of January to be joined to, and they no longer lie where they landed.
    hospital.area = {}
    hospital.land("2025-03", "three, corrected")
    hospital.work()
    assert hospital.due() == []
    # Its cohorts are still there, and a new model is asked about them.
    hospital.state = replace(hospital.state, in_service={"joint": "another"})
    assert [(work.month, work.steps) for work in hospital.due()] == [(month, (EVALUATION,)) for month in MONTHS[:3]]


def without_files(hospital: Hospital) -> None:
    taken = {month: replace(one, has_files=False) for month, one in hospital.state.taken.items()}
    hospital.state = replace(hospital.state, taken=taken)


def test_what_was_deleted_is_fetched_again_where_it_is_needed_and_still_there() -> None:
    months = {"2025-01": "one", "2025-02": "two", "2025-03": "three, corrected"}
    hospital = in_order(months | {"2025-03": "three"})
    without_files(hospital)
    assert hospital.due() == []
    hospital.land("2025-03", "three, corrected")
    hospital.finish()
    assert hospital.outcome == in_order(months).outcome
    assert hospital.state.taken["2025-01"].revision == 1


def test_a_late_month_is_labelled_without_what_was_deleted() -> None:
    hospital = in_order({"2025-02": "two", "2025-03": "three"})
    without_files(hospital)
    hospital.area = {}
    hospital.land("2025-01", "one")
    hospital.finish()
    made = hospital.state.labelled["2025-01"]
    assert (made.followed_by, made.unripe) == ({}, {"readmission"})
    assert hospital.scored["2025-01", "model", made.fingerprint] == 1


def test_what_cannot_be_taken_does_not_hold_up_what_follows() -> None:
    hospital = in_order({"2025-01": "one", "2025-02": "two"})
    hospital.land("2025-01", "one, corrected")
    hospital.state = replace(hospital.state, in_service={"joint": "another"})
    (first, second) = choices(hospital.state, {"2025-01": hospital.area["2025-01"]}, DAYS)
    assert [work.steps for work in first] == [(EXPORT, COHORTS, EVALUATION), (EVALUATION,)]
    assert [work.steps for work in second] == [(EVALUATION,)]


@pytest.mark.parametrize("num_months", [1200])
def test_a_thousand_months_are_looked_at_in_no_time(num_months: int) -> None:
    months = [f"20{year:02d}-{number:02d}" for year in range(100) for number in range(1, 13)][:num_months]
    taken = {month: Taken(content=month, covers_until=day_after(month), revision=1, listing=month) for month in months}
    work = due(State(taken=taken), {}, DAYS)
    assert [one.month for one in work] == months
    assert len({one.key for one in work}) == num_months
