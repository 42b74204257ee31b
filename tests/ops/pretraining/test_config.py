import math

from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.pretraining.config import crosses_checkpoint


@given(st.integers(1, 5000), st.integers(1, 60))
def test_checkpoints_come_at_every_multiple_of_tokens_and_at_the_end(checkpoint_tokens: int, max_steps: int) -> None:
    class Config:
        tokens_per_step = 256
        training = type("Training", (), {"max_steps": max_steps})

    Config.checkpoint_tokens = checkpoint_tokens  # type: ignore[attr-defined]
    steps = [step for step in range(1, max_steps + 1) if crosses_checkpoint(Config, step)]  # type: ignore[arg-type]
    passed = {math.ceil(k * checkpoint_tokens / 256) for k in range(1, max_steps * 256 // checkpoint_tokens + 1)}
    assert steps == sorted(passed | {max_steps})
