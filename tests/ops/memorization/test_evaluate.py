"""The whole measure on a run of two checkpoints: random weights pass, a model that knows its text by heart fails."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.memorization.canaries import Canary
from lang1_assets.ops.memorization.evaluate import (
    EXPOSURE,
    HELD_OUT,
    SCHEMA,
    TRAINED,
    MemorizationConfig,
    measure_memorization,
    samples_between,
)
from lang1_assets.ops.memorization.figure import memorization_figures
from lang1_assets.ops.memorization.verdict import others_needed, verdict_of
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.pretraining.recovery import LeftOut, LeftOutData
from lang1_assets.ops.study.pictures import draw_together
from tests.ops.conftest import SEED

CONFIG = MemorizationConfig(
    prompt_tokens=30, continuation_tokens=10, num_sequences=40, num_others=others_needed(1), batch_size=64, seed=SEED
)


@pytest.fixture(scope="module")
def rows(trajectory: list[Path], run: PretrainConfig) -> pl.DataFrame:
    return measure_memorization(trajectory, run, ["notes"], CONFIG, print)


def test_every_checkpoint_has_every_measure(rows: pl.DataFrame, trajectory: list[Path], canaries: list[Canary]) -> None:
    assert rows.schema == SCHEMA
    for folder in trajectory:
        own = rows.filter(checkpoint=folder.name)
        assert own["kind"].to_list() == [EXPOSURE] * len(canaries) + [TRAINED, HELD_OUT]
        assert own.filter(kind=EXPOSURE)["repeats"].to_list() == [canary.repeats for canary in canaries]
        assert (own["low"] <= own["value"]).all()
        assert (own["value"] <= own["high"]).all()
    seen = rows.filter(kind=EXPOSURE).select("tokens", "repeats", "times_seen")
    assert seen.filter(tokens=0)["times_seen"].sum() == 0
    assert seen.filter(pl.col("repeats") > 0, pl.col("tokens") > 0)["times_seen"].min() > 0
    assert seen.filter(repeats=0)["times_seen"].sum() == 0


def test_a_model_that_knows_its_text_by_heart_fails_and_random_weights_pass(rows: pl.DataFrame) -> None:
    assert verdict_of(rows.filter(tokens=0)).is_clean
    found = verdict_of(rows)
    assert not found.is_clean
    assert "1 of 1 canaries planted once are exposed" in found.words
    last = rows.filter(pl.col("tokens") == pl.col("tokens").max())
    assert last.filter(kind=TRAINED)["value"].item() > 0.5
    assert last.filter(kind=HELD_OUT)["value"].item() < 0.05
    alone = verdict_of(rows.filter(pl.col("kind") != EXPOSURE))
    assert not alone.is_clean


def test_rows_and_picture_tell_nothing_of_the_canaries(rows: pl.DataFrame, canaries: list[Canary]) -> None:
    drawn = draw_together(memorization_figures(rows, "ours"), is_synthetic=True, wide=True, form="svg").decode()
    for words in ("never planted", "planted once", "4 times", "trained on", "held out", "(synthetic data)"):
        assert words in drawn
    told = drawn + rows.write_csv()
    assert not [canary for canary in canaries if canary.secret in told or canary.holder in told]


def gap(first: int, stop: int) -> LeftOut:
    numbers = {"first_data_step": first, "stop_data_step": stop, "first_sample": 0, "last_sample": 0}
    return LeftOut(kind="loss_spike", at_step=stop, back_to_step=0, sources={}, **numbers)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), max_size=4), st.lists(st.integers(0, 25), max_size=4))
def test_what_a_run_went_back_over_was_not_drawn(gaps: list[tuple[int, int]], steps: list[int]) -> None:
    """Against the walk that the run itself makes, batch by batch; gaps may overlap."""
    left_out = LeftOutData(Path("/nowhere"))
    left_out.rows = [gap(first, first + length) for first, length in gaps]
    walked, data_step = [], 0
    for _ in range(max(steps, default=0)):
        data_step = left_out.next_data_step(data_step)
        walked += [data_step * 3, data_step * 3 + 1, data_step * 3 + 2]
        data_step += 1
    found: list[int] = []
    for step, ranges in zip(sorted(steps), samples_between(sorted(steps), left_out, 3), strict=True):
        found += [sample for part in ranges for sample in part]
        assert found == walked[: step * 3]
