"""A small joint run, and what it leaves when nothing disturbs it."""

from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.training.world import World
from tests.ops.conftest import PROMPT_CONTEXT, SEED
from tests.ops.finetuning.running import MAX_STEPS, run


@pytest.fixture(scope="module")
def config(example_files: dict[str, Path], model_folder: Path) -> dict[str, Any]:
    return {
        "base": model_folder,
        "examples": example_files,
        "tokenizer_folder": model_folder,
        "training": {
            "global_batch_size": 8,
            "micro_batch_size": 4,
            "max_steps": MAX_STEPS,
            "learning_rate": 1e-3,
            "min_learning_rate": 0.0,
            "warmup_steps": 0,
            "betas": (0.9, 0.999),
            "eps": 1e-5,
            "weight_decay": 0.02,
            "gradient_clipping": 0.0,
            "zero_stage": 2,
            "precision": "fp32",
            "compile": False,
            "activation_checkpointing": False,
            "validate_every_steps": 2,
            "save_every_steps": 3,
            "keep_last": 2,
            "log_every_steps": 1,
        },
        "search": {"num_trials": 2, "max_steps": 2, "low": 1e-3, "high": 1e-2},
        "note_tokens": 40,
        "context_length": PROMPT_CONTEXT,
        "patience_steps": 100,
        "validation_examples": 20,
        "seed": SEED,
        "own_tasks": [],
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], one_rank: World) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    assert run(config, work, one_rank)
    return work
