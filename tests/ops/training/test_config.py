from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.training.config import gradient_accumulation_steps
from tests.ops.training.conftest import CONFIG


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8, 16]))
def test_accumulation_keeps_the_global_batch(world_size: int, micro: int) -> None:
    steps = gradient_accumulation_steps(replace(CONFIG, micro_batch_size=micro), world_size)
    assert steps * micro * world_size == CONFIG.global_batch_size


def test_a_batch_that_does_not_divide_is_explained() -> None:
    with pytest.raises(ValueError, match="not a multiple of micro_batch_size 8 x 3 ranks"):
        gradient_accumulation_steps(CONFIG, 3)
