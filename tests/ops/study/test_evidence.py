"""One rule for every claim, and the same for its opposite."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.study.evidence import (
    CANNOT_TELL,
    DOES_NOT_HOLD,
    HOLDS,
    Evidence,
    Lacking,
    Region,
    decide,
    detail,
    in_words,
    shared,
)

NUMBERS = st.floats(-1, 1, allow_nan=False)
INTERVALS = st.tuples(NUMBERS, NUMBERS).map(sorted)
VERDICTS = st.lists(st.sampled_from([HOLDS, DOES_NOT_HOLD, CANNOT_TELL]), min_size=1, max_size=8)
OPPOSITE = {HOLDS: DOES_NOT_HOLD, DOES_NOT_HOLD: HOLDS, CANNOT_TELL: CANNOT_TELL}


@given(INTERVALS, NUMBERS)
def test_a_claim_and_its_opposite_never_agree(interval: list[float], bound: float) -> None:
    low, high = interval
    assert Region(upper=bound).verdict(low, high) == OPPOSITE[Region(lower=bound).verdict(low, high)]


@given(INTERVALS, NUMBERS)
def test_a_number_and_its_negative_are_judged_alike(interval: list[float], bound: float) -> None:
    low, high = interval
    assert Region(lower=bound).verdict(low, high) == Region(upper=-bound).verdict(-high, -low)


@given(INTERVALS, INTERVALS)
def test_a_region_holds_what_it_contains_and_refuses_what_it_does_not_touch(
    interval: list[float], bounds: list[float]
) -> None:
    (low, high), (lower, upper) = interval, bounds
    verdict = Region(lower=lower, upper=upper).verdict(low, high)
    samples = [low, (low + high) / 2, high]
    if verdict == HOLDS:
        assert all(lower < value < upper for value in samples)
    elif verdict == DOES_NOT_HOLD:
        assert not any(lower <= value <= upper for value in samples)


@given(VERDICTS, st.integers(1, 8))
def test_counted_the_other_way_the_opposite_comes_out(verdicts: list[str], needed: int) -> None:
    """`needed` of n hold: the opposite claim is that more than n - `needed` do not."""
    if needed > len(verdicts):
        assert decide(verdicts, needed) == CANNOT_TELL  # type: ignore[arg-type]
        return
    opposite = [OPPOSITE[verdict] for verdict in verdicts]  # type: ignore[index]
    assert decide(opposite, len(verdicts) - needed + 1) == OPPOSITE[decide(verdicts, needed)]  # type: ignore[arg-type]


@given(VERDICTS, st.integers(1, 8))
def test_a_verdict_never_hangs_on_what_is_not_known(verdicts: list[str], needed: int) -> None:
    """Whatever the unknown ones turn out to be, a verdict stays."""
    found = decide(verdicts, needed)  # type: ignore[arg-type]
    if found != CANNOT_TELL:
        for known in (HOLDS, DOES_NOT_HOLD):
            filled = [known if verdict == CANNOT_TELL else verdict for verdict in verdicts]
            assert decide(filled, needed) == found  # type: ignore[arg-type]


def test_an_interval_that_does_not_exist_tells_nothing() -> None:
    assert Region(lower=0).verdict(math.nan, math.nan) == CANNOT_TELL


def test_nothing_to_compare_tells_nothing() -> None:
    assert decide([], 1) == CANNOT_TELL
    assert in_words([], 1) == "Nothing to compare was evaluated."


def test_the_level_is_shared_among_the_comparisons() -> None:
    assert [round(shared(count), 6) for count in (0, 1, 2, 5)] == [0.95, 0.95, 0.975, 0.99]


def test_words_name_the_numbers_and_what_lacks() -> None:
    found = Evidence(about="mortality", value=0.1, low=0.05, high=0.15, level=0.99, region=Region(lower=0))
    said = in_words([found, Lacking(about="stay", why="joint_evaluation/x was not evaluated")], 2)
    assert said == (
        "1 of 2 hold, 2 needed, intervals of 99.0%. mortality +0.100 (+0.050 to +0.150). "
        "Not there: stay: joint_evaluation/x was not evaluated"
    )
    assert detail(found)["region"] == {"lower": 0, "upper": None}


def test_what_is_missing_is_named_once_however_many_comparisons_lack_for_it() -> None:
    def lacking(about: str, *names: str) -> Lacking:
        return Lacking(about=about, why=f"{', '.join(names)} was not evaluated", absent=names)

    few = Lacking(about="denial", why="too few notes")
    every = [lacking("stay", "joint/x"), lacking("death", "joint/x", "single/y"), few]
    assert in_words(every, 3) == (
        "0 of 3 hold, 3 needed. Not there: joint/x (2 comparisons); single/y for death; denial: too few notes"
    )
    assert in_words([few, few], 2).endswith("Not there: too few notes (2 comparisons)")
    assert detail(every[1])["absent"] == ["joint/x", "single/y"]
