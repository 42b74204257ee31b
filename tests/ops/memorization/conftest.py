"""A small corpus with canaries, and two models of it: random weights, and one that was trained until it knew it by heart."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from lang1_assets.ops.memorization.canaries import Canary, canary_documents, make_canaries, write_canaries
from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.model import ModelShape, build_model, save_model
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.shard_writing import write_shards
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.tokenizer import fast_tokenizer, train_tokenizer
from tests.ops.conftest import SEED, synthetic_note

CONTEXT = 96
BATCH = 8
STEPS = 300
SHAPE = ModelShape(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    context_length=CONTEXT,
    tie_word_embeddings=True,
    rms_norm_eps=1e-5,
    initializer_range=0.06,
)


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these are ten times slower on two threads of a busy machine than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def canaries() -> list[Canary]:
    return make_canaries((1, 4), num_each=1, num_controls=3, seed=SEED)


@pytest.fixture(scope="session")
def canary_tokenizer(tmp_path_factory: pytest.TempPathFactory, canaries: list[Canary]) -> Path:
    folder = tmp_path_factory.mktemp("canary_tokenizer")
    rng = random.Random(SEED)
    documents = canary_documents(canaries, "note_id", SEED)["text"].to_list() * 20
    train_tokenizer(iter([*documents, *(synthetic_note(rng, 40) for _ in range(200))]), folder, 600, seed=SEED)
    return folder


@pytest.fixture(scope="session")
def planted_shards(tmp_path_factory: pytest.TempPathFactory, canary_tokenizer: Path, canaries: list[Canary]) -> Path:
    """Thirty notes, of which some are held out, and five canary documents."""
    rng = random.Random(SEED)
    folder = tmp_path_factory.mktemp("planted")
    notes = {"note_id": [f"n-{i}" for i in range(30)], "text": [synthetic_note(rng, 40) for _ in range(30)]}
    pl.DataFrame(notes).write_parquet(folder / "notes.parquet")
    (folder / "shards").mkdir()
    write_shards(
        [folder / "notes.parquet"],
        id_column="note_id",
        text_column="text",
        tokenizer_folder=canary_tokenizer,
        output=folder / "shards",
        val_fraction=0.3,
        shard_tokens=1000,
        seed=SEED,
        num_workers=1,
        on_progress=lambda done, total: None,
        # The canaries are planted whatever the corpus takes.
        filter=pl.col("note_id").str.starts_with("n-"),
        planted=write_canaries(canaries, folder / "shards", "note_id", SEED),
    )
    return folder / "shards"


@pytest.fixture(scope="session")
def run(planted_shards: Path, canary_tokenizer: Path) -> PretrainConfig:
    training: dict[str, Any] = {"global_batch_size": BATCH, "micro_batch_size": BATCH, "max_steps": STEPS}
    training |= {"learning_rate": 4e-3, "min_learning_rate": 0.0, "warmup_steps": 0, "betas": (0.9, 0.99), "eps": 1e-8}
    training |= {"weight_decay": 0.0, "gradient_clipping": 1.0, "zero_stage": 0, "precision": "fp32", "compile": False}
    training |= {"activation_checkpointing": False, "keep_last": 2}
    training |= {f"{what}_every_steps": STEPS for what in ("validate", "save", "log")}
    values = {
        "shape": vars(SHAPE),
        "training": training,
        "sources": {"notes": planted_shards},
        "weights": {"notes": 1},
        "tokenizer_folder": canary_tokenizer,
        "vocab_size": fast_tokenizer(canary_tokenizer).get_vocab_size(),
        "checkpoint_tokens": 10**9,
        "validation_windows": 1,
        "suspect_steps": 1,
        "seed": SEED,
    }
    return PretrainConfig.from_json(json.loads(json.dumps(values, default=str)))


@pytest.fixture(scope="package")
def trajectory(tmp_path_factory: pytest.TempPathFactory, run: PretrainConfig, one_thread: None) -> list[Path]:
    """Before training, and after it."""
    root = tmp_path_factory.mktemp("memorizing")
    model = build_model(SHAPE, run.vocab_size, SEED)
    save_model(model, model.state_dict(), run.tokenizer_folder, root / "tokens-000000000000000")
    shards = {name: TokenShards(folder, "train") for name, folder in run.sources.items()}
    mixture = Mixture(shards, run.weights, CONTEXT, run.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.training.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for step in range(STEPS):
        windows = torch.from_numpy(mixture.batch(step, BATCH, 0, 1, BATCH, 0))
        loss = torch.nn.functional.cross_entropy(
            model(input_ids=windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    save_model(model, model.state_dict(), run.tokenizer_folder, root / f"tokens-{STEPS * run.tokens_per_step:015d}")
    return sorted(root.iterdir())
