"""Those who die stay shortly or long (appendix F, Fig. F6), and the oracle says so without knowing who dies."""

from __future__ import annotations

import numpy as np
import pytest

from lang1_assets.ops.hospital.config import STAY_BEFORE_DEATH, TARGETS, HospitalConfig
from lang1_assets.ops.hospital.encounters import Hospital, build_hospital
from lang1_assets.ops.hospital.simulate import SAME_DAY_DEATHS, Visits

DIED, LIVED = 1, 0
SHORT, LONG = 0, 3


@pytest.fixture(scope="module")
def visits(large_hospital: Hospital) -> Visits:
    return large_hospital.visits.take(np.flatnonzero(~large_hospital.visits.is_follow_up))


def _ratios(visits: Visits, rows: np.ndarray) -> np.ndarray:
    return np.bincount(visits.stay[rows], minlength=4) / rows.sum()


def _standard_error(share: np.ndarray, num: int) -> np.ndarray:
    return np.sqrt(share * (1 - share) / num)


def test_who_died_stayed_as_documented(visits: Visits) -> None:
    died = visits.died == DIED
    wanted = np.array(STAY_BEFORE_DEATH)
    assert (np.abs(_ratios(visits, died) - wanted) < 3 * _standard_error(wanted, died.sum())).all()


def test_who_died_stayed_shortly_or_long_more_often_than_who_lived(visits: Visits) -> None:
    dead, alive = _ratios(visits, visits.died == DIED), _ratios(visits, visits.died == LIVED)
    assert dead[SHORT] > alive[SHORT] + 0.03
    assert dead[LONG] > alive[LONG] + 0.08
    assert (dead[[1, 2]] < alive[[1, 2]] - 0.04).all()


def test_deaths_are_as_frequent_on_the_first_day_as_in_long_stays(visits: Visits) -> None:
    days = (visits.discharge_time.astype("datetime64[D]") - visits.admit_time.astype("datetime64[D]")).astype(int)
    first, long, middle = days == 0, visits.stay == LONG, np.isin(visits.stay, (1, 2))
    short_dead = (visits.died == DIED) & (visits.stay == SHORT)
    wanted = np.array(SAME_DAY_DEATHS)
    assert abs((days[short_dead] == 0).mean() - wanted) < 3 * _standard_error(wanted, short_dead.sum())
    assert visits.died[first].mean() == pytest.approx(visits.died[long].mean(), rel=0.5)
    assert visits.died[first].mean() > 2 * visits.died[middle].mean()


@pytest.mark.parametrize("site", ["main", "external"])
def test_all_together_have_the_ratios_of_the_site(site: str) -> None:
    visits = build_hospital(HospitalConfig(num_encounters=20_000, site=site, seed=5)).visits
    discharged = visits.discharge_time
    main = (discharged >= np.datetime64("2013-01-01")) & (discharged < np.datetime64("2021-06-01"))
    wanted = np.array(TARGETS[site].length_of_stay[1])
    assert (np.abs(_ratios(visits, main) - wanted) < 3 * _standard_error(wanted, main.sum())).all()
    prevalence = np.array(TARGETS[site].mortality[1])
    assert abs(visits.died[main].mean() - prevalence) < 3 * _standard_error(prevalence, main.sum())


def test_chances_of_a_stay_hold_among_those_likely_to_die(visits: Visits) -> None:
    """A mixture with wrong weights would still hold over all admissions, of whom so few die."""
    likely = visits.p_mortality > 0.25
    assert likely.sum() > 300
    chances = visits.p_stay[likely]
    error = np.sqrt((chances * (1 - chances)).sum(axis=0)) / likely.sum()
    assert (np.abs(_ratios(visits, likely) - chances.mean(axis=0)) < 3.5 * error).all()
    # Their chance of a short stay is more than the facts alone would give if nobody died of them.
    lived = likely & (visits.died == LIVED)
    assert chances[:, SHORT].mean() > _ratios(visits, lived)[SHORT] + 0.05


def test_the_chances_sum_to_one(visits: Visits) -> None:
    np.testing.assert_allclose(visits.p_stay.sum(axis=1), 1.0, atol=1e-12)
    assert (visits.p_stay > 0).all()
