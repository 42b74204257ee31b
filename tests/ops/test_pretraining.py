"""The pretraining job under DeepSpeed on two CPU ranks, undisturbed and disturbed; and its parts by themselves."""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from lang1_assets.ops.model import NextTokenLoss, open_model
from lang1_assets.ops.pretraining import loop, validation
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig, crosses_checkpoint
from lang1_assets.ops.pretraining.loop import MAX_REVERTS
from lang1_assets.ops.pretraining.spikes import SPIKE_MINIMUM_HISTORY, SPIKE_WINDOW, SpikeDetector
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World
from tests.ops.conftest import CONTEXT_LENGTH, SEED, SHAPE
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of

MODULE = "lang1_assets.ops.pretraining"
MAX_STEPS = 12
TOKENS_PER_STEP = 8 * CONTEXT_LENGTH


@pytest.fixture(scope="module")
def config(shard_folders: dict[str, Path], tokenizer_folder: Path, vocab_size: int) -> dict[str, Any]:
    """Twelve steps; saved after 5 and 10, a checkpoint of the trajectory after 4, 8 and 12."""
    return {
        "shape": {**vars(SHAPE), "context_length": CONTEXT_LENGTH},
        "training": {
            "global_batch_size": 8,
            "micro_batch_size": 2,
            "max_steps": MAX_STEPS,
            "learning_rate": 1e-2,
            "min_learning_rate": 1e-3,
            "warmup_steps": 3,
            "betas": (0.9, 0.95),
            "eps": 1e-8,
            "weight_decay": 0.1,
            "gradient_clipping": 1.0,
            "zero_stage": 2,
            "precision": "fp32",
            "compile": False,
            "validate_every_steps": 6,
            "save_every_steps": 5,
            "log_every_steps": 1,
        },
        "sources": shard_folders,
        "weights": {"notes": 1, "web_text": 1},
        "tokenizer_folder": tokenizer_folder,
        "vocab_size": vocab_size,
        "checkpoint_tokens": 4 * TOKENS_PER_STEP,
        "validation_windows": 5,
        "seed": SEED,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    before = buffers_in_shared_memory()
    assert launch(work, config, MODULE) == 0, log_of(work)[-3000:]
    assert buffers_in_shared_memory() <= before
    return work


def buffers_in_shared_memory() -> set[Path]:
    return set(Path("/dev/shm").glob("deepspeed_*"))


def test_the_job_leaves_a_trajectory_metrics_and_a_summary(undisturbed: Path, vocab_size: int) -> None:
    names = [f"tokens-{steps * TOKENS_PER_STEP:015d}" for steps in (4, 8, 12)]
    assert sorted(path.name for path in (undisturbed / "trajectory").iterdir()) == names
    summary = summary_of(undisturbed)
    assert (summary["steps"], summary["tokens"]) == (MAX_STEPS, MAX_STEPS * TOKENS_PER_STEP)
    assert (summary["trajectory"], summary["num_ranks"], summary["num_reverts"]) == (names, 2, 0)
    values = last_values(undisturbed)
    assert values[1, "train/loss"] == pytest.approx(math.log(vocab_size), abs=0.1)
    assert values[MAX_STEPS, "train/loss"] < values[1, "train/loss"] - 0.3
    for name, folder in (("notes", 6), ("web_text", 12)):
        assert math.exp(values[folder, f"val/loss/{name}"]) == values[folder, f"val/perplexity/{name}"]


def test_every_step_has_the_learning_rate_of_the_schedule(undisturbed: Path, config: dict[str, Any]) -> None:
    training = PretrainConfig.from_json(config).training
    values = last_values(undisturbed)
    for step in range(1, MAX_STEPS + 1):
        assert values[step, "train/learning_rate"] == pytest.approx(learning_rate_at(step - 1, training))


def test_a_checkpoint_of_the_trajectory_is_what_was_validated(
    undisturbed: Path, config: dict[str, Any], shard_folders: dict[str, Path]
) -> None:
    """The last one, opened by anybody's Hugging Face, has the held-out loss that the job wrote down."""
    folder = sorted((undisturbed / "trajectory").iterdir())[-1]
    assert not [path for path in folder.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True).eval()
    assert AutoTokenizer.from_pretrained(folder)("chest pain").input_ids[0] == 1
    for name, shards_folder in shard_folders.items():
        shards = TokenShards(shards_folder, "val")
        windows = [shards.window(i, CONTEXT_LENGTH).astype(np.int64) for i in range(5)]
        with torch.no_grad():
            losses = [NextTokenLoss(model)(torch.from_numpy(window[None])).item() for window in windows]
        assert last_values(undisturbed)[MAX_STEPS, f"val/loss/{name}"] == pytest.approx(
            statistics.fmean(losses), rel=1e-5
        )


def test_a_run_that_was_stopped_and_killed_ends_where_the_undisturbed_one_does(
    undisturbed: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    stopped = launch(tmp_path, config, MODULE, "SIGTERM@3")
    assert stopped not in {0, 65}, log_of(tmp_path)[-3000:]
    assert (tmp_path / "resume" / "latest").read_text() == "step-00000003"
    assert not (tmp_path / "summary.json").exists()

    killed = launch(tmp_path, config, MODULE, "SIGKILL@8")
    assert killed == -9
    assert "resuming at step 3" in log_of(tmp_path)
    assert (tmp_path / "resume" / "latest").read_text() == "step-00000005"
    assert not (tmp_path / "summary.json").exists()

    assert launch(tmp_path, config, MODULE) == 0, log_of(tmp_path)[-3000:]
    assert "resuming at step 5" in log_of(tmp_path)
    assert last_values(tmp_path) == last_values(undisturbed)
    assert summary_of(tmp_path) == summary_of(undisturbed)
    for folder in (undisturbed / "trajectory").iterdir():
        assert same_weights(tmp_path / "trajectory" / folder.name, folder)


def test_zero_3_goes_back_from_a_loss_that_is_not_finite_and_leaves_its_data_out(
    config: dict[str, Any], tmp_path: Path
) -> None:
    """The batch of step 7 is poison: were it drawn again, the run would go back until it gives up."""
    # Logged less often than saved: a state is saved only after its losses were looked at.
    changed = {
        **config,
        "training": {**config["training"], "zero_stage": 3, "log_every_steps": 6, "save_every_steps": 4},
    }
    assert launch(tmp_path, changed, MODULE, "NAN@6") == 0, log_of(tmp_path)[-3000:]
    assert "ALERT loss spike" in log_of(tmp_path)
    summary = summary_of(tmp_path)
    assert (summary["num_reverts"], summary["steps"]) == (1, MAX_STEPS)
    assert [int(name.split("-")[1]) // TOKENS_PER_STEP for name in summary["trajectory"]] == [4, 8, 12]
    values = last_values(tmp_path)
    assert values[8, "loss_spike"] == -1.0
    assert math.isfinite(values[MAX_STEPS, "val/loss/all"])
    for name in summary["trajectory"]:
        opened = open_model(tmp_path / "trajectory" / name)
        assert all(torch.isfinite(parameter).all() for parameter in opened.parameters())
        assert opened.num_parameters() == summary["num_parameters"]
        assert AutoTokenizer.from_pretrained(tmp_path / "trajectory" / name).bos_token_id == 1


class Silent:
    """In the place of a `Reporter`."""

    def say(self, line: str) -> None: ...

    def metrics(self, step: int, values: dict[str, float]) -> None: ...


def test_a_run_that_spikes_again_and_again_gives_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loop, "load_resume", lambda engine, work: vars(LoopState(step=20, data_step=20)))
    state = LoopState(step=30, data_step=30)
    for reverts in range(1, MAX_REVERTS + 1):
        state.step, state.data_step = 30, state.data_step + 7
        drawn = state.data_step
        loop.go_back(None, tmp_path, state, 99.0, Silent())  # type: ignore[arg-type]
        assert (state.step, state.data_step, state.num_reverts) == (20, drawn, reverts)
    with pytest.raises(RuntimeError, match=r"loss 99 at step 20 .*gone back 3 times"):
        loop.go_back(None, tmp_path, state, 99.0, Silent())  # type: ignore[arg-type]


def test_each_rank_takes_its_share_of_validation_windows(
    config: dict[str, Any], shard_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five windows over 1 to 4 ranks: each counted once, and every rank with the same number of passes."""
    read = PretrainConfig.from_json(config)

    def engine(window: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        return window.double().mean()

    means = []
    for size in (1, 2, 3, 4):
        totals, rounds = [], set()
        for rank in range(size):
            passes: list[int] = []
            monkeypatch.setattr(World, "mean", lambda self, value: float(value))
            totals.append(
                validation.validation_loss(
                    read, engine, shard_folders["notes"], World(rank=rank, size=size, device=torch.device("cpu"))
                )
            )
            rounds.add(len(passes))
        assert len(rounds) == 1
        means.append(statistics.fmean(totals))
    assert means == pytest.approx([means[0]] * 4)


def noise(seed: int, size: int) -> list[float]:
    return (3 + 0.1 * np.random.default_rng(seed).standard_normal(size)).tolist()


@given(st.integers(0, 20))
def test_normal_noise_is_no_spike(seed: int) -> None:
    detector = SpikeDetector()
    assert not any(detector.is_spike(loss) for loss in noise(seed, 150))


@given(st.integers(0, 20), st.integers(SPIKE_MINIMUM_HISTORY, 200))
def test_a_planted_spike_is_found_and_not_learned_from(seed: int, before: int) -> None:
    detector = SpikeDetector()
    history = noise(seed, before)
    for loss in history:
        assert not detector.is_spike(loss)
    seen = history[-SPIKE_WINDOW:]
    mean, sd = statistics.fmean(seen), statistics.stdev(seen)
    # Again and again: a spike does not become part of what is normal.
    assert all(detector.is_spike(mean + 6.01 * sd) for _ in range(30))
    assert not detector.is_spike(mean + 5.9 * sd)


def test_a_sudden_fall_is_no_spike() -> None:
    detector = SpikeDetector()
    for loss in noise(1, 50):
        detector.is_spike(loss)
    assert not detector.is_spike(0.5)


def test_a_short_history_says_nothing_but_not_finite_is_always_a_spike() -> None:
    detector = SpikeDetector()
    assert detector.is_spike(math.nan)
    assert detector.is_spike(math.inf)
    for loss in noise(1, SPIKE_MINIMUM_HISTORY - 1):
        detector.is_spike(loss)
    assert not detector.is_spike(100.0)
    assert detector.is_spike(math.nan)


@given(st.integers(1, 5000), st.integers(1, 60))
def test_checkpoints_come_at_every_multiple_of_tokens_and_at_the_end(checkpoint_tokens: int, max_steps: int) -> None:
    class Config:
        tokens_per_step = 256
        training = type("Training", (), {"max_steps": max_steps})

    Config.checkpoint_tokens = checkpoint_tokens  # type: ignore[attr-defined]
    steps = [step for step in range(1, max_steps + 1) if crosses_checkpoint(Config, step)]  # type: ignore[arg-type]
    passed = {math.ceil(k * checkpoint_tokens / 256) for k in range(1, max_steps * 256 // checkpoint_tokens + 1)}
    assert steps == sorted(passed | {max_steps})
