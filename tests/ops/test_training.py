import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.training.checkpoints import load_resume, save_resume
from lang1_assets.ops.training.config import TrainingConfig, gradient_accumulation_steps
from lang1_assets.ops.training.engine import deepspeed_config
from lang1_assets.ops.training.job import INPUT_ERROR_EXIT_CODE, STOPPED_EXIT_CODE, run_job
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World

CONFIG = TrainingConfig(
    global_batch_size=1024,
    micro_batch_size=8,
    max_steps=10_000,
    learning_rate=4e-4,
    min_learning_rate=4e-5,
    warmup_steps=2000,
    betas=(0.9, 0.95),
    eps=1e-8,
    weight_decay=0.1,
    gradient_clipping=1.0,
    zero_stage=2,
    precision="bf16",
    compile=False,
    validate_every_steps=100,
    save_every_steps=100,
    log_every_steps=10,
)


def test_learning_rate_warms_up_linearly_and_ends_at_the_minimum() -> None:
    assert learning_rate_at(0, CONFIG) == pytest.approx(4e-4 / 2000)
    assert learning_rate_at(999, CONFIG) == pytest.approx(2e-4)
    assert learning_rate_at(2000, CONFIG) == pytest.approx(4e-4)
    assert learning_rate_at(6000, CONFIG) == pytest.approx((4e-4 + 4e-5) / 2)
    assert learning_rate_at(10_000, CONFIG) == pytest.approx(4e-5)


@given(st.integers(0, 20_000))
def test_learning_rate_matches_torch(step: int) -> None:
    """Against torch's own cosine schedule, as a second implementation."""
    rate = learning_rate_at(step, CONFIG)
    if step < CONFIG.warmup_steps:
        assert 0 < rate <= CONFIG.learning_rate
        return
    share = min(step, CONFIG.max_steps) - CONFIG.warmup_steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=CONFIG.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=CONFIG.max_steps - CONFIG.warmup_steps, eta_min=CONFIG.min_learning_rate
    )
    closed_form = (
        schedule.eta_min
        + (schedule.base_lrs[0] - schedule.eta_min) * (1 + math.cos(math.pi * share / schedule.T_max)) / 2
    )
    assert rate == pytest.approx(closed_form)


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8, 16]))
def test_accumulation_keeps_the_global_batch(world_size: int, micro: int) -> None:
    steps = gradient_accumulation_steps(replace(CONFIG, micro_batch_size=micro), world_size)
    assert steps * micro * world_size == CONFIG.global_batch_size


def test_a_batch_that_does_not_divide_is_explained() -> None:
    with pytest.raises(ValueError, match="not a multiple of micro_batch_size 8 x 3 ranks"):
        gradient_accumulation_steps(CONFIG, 3)


def test_bf16_accumulates_in_fp32() -> None:
    world = World(rank=0, size=2, device=torch.device("cpu"))
    config = deepspeed_config(CONFIG, world)
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}
    assert config["gradient_accumulation_steps"] == 64
    assert "data_types" not in deepspeed_config(replace(CONFIG, precision="fp32"), world)


class FakeEngine:
    """Keeps a checkpoint as a folder with one file, as DeepSpeed would lay it; can be killed half-way."""

    killed = False

    def save_checkpoint(self, folder: str, tag: str, client_state: dict[str, Any], save_latest: bool) -> None:
        assert not save_latest
        (Path(folder) / tag).mkdir(parents=True, exist_ok=True)
        if self.killed:
            raise InterruptedError
        (Path(folder) / tag / "step").write_text(str(client_state["loop"]["step"]))

    def load_checkpoint(self, folder: str, tag: str) -> tuple[str | None, dict[str, Any]]:
        path = Path(folder) / tag / "step"
        return (str(path), {"loop": {"step": int(path.read_text())}}) if path.exists() else (None, {})


def save(engine: FakeEngine, work: Path, step: int, one_rank: World) -> None:
    save_resume(engine, work, step, {"step": step}, one_rank)


def test_a_run_goes_on_from_its_last_finished_checkpoint(tmp_path: Path, one_rank: World) -> None:
    engine = FakeEngine()
    assert load_resume(engine, tmp_path) is None
    for step in (5, 10, 15):
        save(engine, tmp_path, step, one_rank)
    engine.killed = True
    with pytest.raises(InterruptedError):
        save(engine, tmp_path, 20, one_rank)
    assert load_resume(engine, tmp_path) == {"step": 15}


def test_two_checkpoints_are_kept_and_never_the_wrong_ones(tmp_path: Path, one_rank: World) -> None:
    """Two that were cut off at higher steps do not push out the ones that are whole."""
    engine = FakeEngine()
    save(engine, tmp_path, 5, one_rank)
    engine.killed = True
    for step in (20, 15):
        with pytest.raises(InterruptedError):
            save(engine, tmp_path, step, one_rank)
    engine.killed = False
    for step in (6, 7):
        save(engine, tmp_path, step, one_rank)
        assert load_resume(engine, tmp_path) == {"step": step}
    names = sorted(path.name for path in (tmp_path / "resume").glob("step-*"))
    assert names == ["step-00000006", "step-00000007"]


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path, one_rank: World) -> None:
    save(FakeEngine(), tmp_path, 5, one_rank)
    (tmp_path / "resume" / "step-00000005" / "step").unlink()
    with pytest.raises(ValueError, match="step-00000005 is not readable; delete this folder"):
        load_resume(FakeEngine(), tmp_path)


def wrong_input() -> bool:
    raise ValueError("the batch does not divide")


@pytest.mark.parametrize(
    ("job", "code"), [(lambda: True, 0), (lambda: False, STOPPED_EXIT_CODE), (wrong_input, INPUT_ERROR_EXIT_CODE)]
)
def test_a_job_s_exit_code_says_how_it_ended(job: Callable[[], bool], code: int) -> None:
    with pytest.raises(SystemExit) as ended:
        run_job(job)
    assert ended.value.code == code


def test_a_crash_is_no_input_error() -> None:
    """It may pass, so the launcher's caller tries again."""
    with pytest.raises(ZeroDivisionError):
        run_job(lambda: bool(1 / 0))
