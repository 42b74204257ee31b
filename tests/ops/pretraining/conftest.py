"""Twelve steps of pretraining, small enough for two CPU ranks in seconds."""

from pathlib import Path
from typing import Any

import pytest

from tests.ops.conftest import CONTEXT_LENGTH, SEED, SHAPE

MAX_STEPS = 12
TOKENS_PER_STEP = 8 * CONTEXT_LENGTH


@pytest.fixture(scope="session")
def config(shard_folders: dict[str, Path], tokenizer_folder: Path, vocab_size: int) -> dict[str, Any]:
    """Twelve steps; saved after 5 and 10, a checkpoint of the trajectory after 0, 4, 8 and 12."""
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
            "activation_checkpointing": False,
            "validate_every_steps": 6,
            "save_every_steps": 5,
            "keep_last": 2,
            "log_every_steps": 1,
        },
        "sources": shard_folders,
        "weights": {"notes": 1, "web_text": 1},
        "tokenizer_folder": tokenizer_folder,
        "vocab_size": vocab_size,
        "checkpoint_tokens": 4 * TOKENS_PER_STEP,
        "suspect_steps": 1,
        "validation_windows": 5,
        "seed": SEED,
    }
