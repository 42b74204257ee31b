"""Entries side by side: each once, those of a group in order, and what happens when a person or the kernel ends it."""

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.cli import lanes
from lang1_assets.cli.lanes import BEGINS, FAILED, MADE, Entry, Report

GROUPS = [[Entry(asset=f"{group}{number}") for number in range(3)] for group in "abcd"]


def write_down(entry: Entry, lane: int) -> Report:
    """Stands for Dagster: notes who made what on which cores."""
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    with open(os.environ["WRITTEN"], "a") as file:
        file.write(f"{entry.asset} {lane} {cores} {os.getpid()}\n")
    return Report(lane=lane, entry=entry, state=FAILED if entry.asset == "b1" else MADE, seconds=0.0)


def kill_itself(entry: Entry, lane: int) -> Report:
    if entry.asset == "b1":
        os.kill(os.getpid(), signal.SIGKILL)
    return Report(lane=lane, entry=entry, state=MADE)


def take_long(entry: Entry, lane: int) -> Report:
    with open(os.environ["WRITTEN"], "a") as file:
        file.write(f"{os.getpid()}\n")
    try:
        time.sleep(120)
    except KeyboardInterrupt:
        return Report(lane=lane, entry=entry, state=lanes.INTERRUPTED)
    return Report(lane=lane, entry=entry, state=MADE)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WRITTEN", str(tmp_path / "written"))
    return tmp_path / "written"


@pytest.mark.parametrize("num_lanes", [1, 2])
def test_each_entry_is_made_once_and_a_group_in_order(written: Path, num_lanes: int) -> None:
    reports = list(lanes.work_through(GROUPS, num_lanes, write_down))
    made = [line.split() for line in written.read_text().splitlines()]
    assert sorted(asset for asset, *_ in made) == sorted(entry.asset for group in GROUPS for entry in group)
    for group in "abcd":
        assert [asset for asset, *_ in made if asset[0] == group] == [f"{group}{number}" for number in range(3)]
        assert len({lane for asset, lane, *_ in made if asset[0] == group}) == 1
    # A failure does not end its group: what does not need it is made.
    assert [report.entry.asset for report in reports if report.state == FAILED] == ["b1"]
    assert len([report for report in reports if report.state == BEGINS]) == 12
    cores = len(os.sched_getaffinity(0))
    if num_lanes == 1:
        assert {(lane, len(where.split(","))) for _, lane, where, _ in made} == {("0", cores)}
    elif cores >= 2:
        assert all(len(where.split(",")) < cores for _, _, where, _ in made)


def test_a_killed_lane_ends_the_others_and_is_no_success(written: Path) -> None:
    with pytest.raises(lanes.LaneLostError, match="ended with code -9"):
        list(lanes.work_through(GROUPS, 2, kill_itself))


def test_ctrl_c_reaches_each_lane_once_and_waits_for_it(written: Path) -> None:
    with closing(lanes.work_through(GROUPS, 2, take_long)) as reports:
        assert [next(reports).state for _ in range(2)] == [BEGINS, BEGINS]
        while len(pids := written.read_text().split() if written.exists() else []) < 2:
            time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_lane_that_was_stopped_ends_everything(written: Path) -> None:
    reports = lanes.work_through(GROUPS, 2, take_long)
    next(reports)
    while not written.exists():
        time.sleep(0.05)
    os.kill(int(written.read_text().split()[0]), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        list(reports)
    assert not [pid for pid in written.read_text().split() if Path(f"/proc/{pid}").exists()]


@given(st.lists(st.integers(0, 500), min_size=1, max_size=64, unique=True), st.integers(1, 8))
def test_every_core_belongs_to_one_lane(cores: list[int], num_lanes: int) -> None:
    parts = lanes.shares(cores, num_lanes)
    assert len(parts) == num_lanes
    assert all(parts)
    if len(cores) >= num_lanes:
        assert sorted(core for part in parts for core in part) == sorted(cores)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    else:
        assert all(part == cores for part in parts)


def test_each_lane_has_a_place_in_the_pool_and_afterwards_there_is_one_again(tmp_path: Path) -> None:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        storage = instance.event_log_storage

        def limit() -> int | None:
            return next((pool.limit for pool in storage.get_pool_limits() if pool.name == lanes.POOL), None)

        with lanes.places_for(2, instance):
            assert limit() == 2
        assert limit() is None
        with lanes.places_for(1, instance):
            assert limit() is None
        storage.set_concurrency_slots(lanes.POOL, 4)
        for num_lanes in (1, 2):
            with lanes.places_for(num_lanes, instance):
                pass
            assert limit() == 4, "what an operator set stays"
