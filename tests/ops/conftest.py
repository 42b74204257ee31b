"""What the tests of training and scoring share: a tokenizer, shards, labelled notes and a model, all tiny and synthetic."""

import os

# Before anything imports deepspeed: the tests are the same on a machine with GPUs.
os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
import torch

from lang1_assets.ops import schemas
from lang1_assets.ops.model import ModelShape, build_model, save_model
from lang1_assets.ops.shard_writing import write_shards
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.tokenizer import fast_tokenizer, train_tokenizer
from lang1_assets.ops.training.world import World

SEED = 11
VOCAB_SIZE = 600
CONTEXT_LENGTH = 32
PROMPT_CONTEXT = 160
WORDS = [
    "patient",
    "denies",
    "chest",
    "pain",
    "fever",
    "chills",
    "admitted",
    "with",
    "acute",
    "heart",
    "failure",
    "on",
    "metoprolol",
    "25",
    "mg",
    "twice",
    "daily",
    "history",
    "of",
    "type",
    "2",
    "diabetes",
    "mellitus",
    "hypertension",
    "creatinine",
    "1.4",
    "assessment",
    "plan",
    "discharge",
    "home",
    "stable",
    "blood",
    "pressure",
    "120/80",
]
SPLIT_SIZES = {"train": 40, "val": 24, "test": 14, "temporal_2024": 12}

SHAPE = ModelShape(
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    context_length=PROMPT_CONTEXT,
    tie_word_embeddings=False,
    rms_norm_eps=1e-5,
)


def synthetic_note(rng: random.Random, num_words: int) -> str:
    return " ".join(rng.choices(WORDS, k=num_words))


def synthetic_examples(task: str) -> pl.DataFrame:
    """Rows of `schemas.EXAMPLES`; every class in every split, notes of 3 to 60 words."""
    rng = random.Random(task)
    rows = []
    for split, size in SPLIT_SIZES.items():
        for number in range(size):
            name = f"{task[:2]}-{split}-{number:03d}"
            label = number % TASKS[task].num_classes
            rows.append(
                {
                    "note_id": name,
                    "encounter_id": f"e-{name}",
                    "subject_id": f"s-{number % 7}",
                    "prediction_time": datetime(2019, 1, 1),
                    "split": split,
                    "label": label,
                    "age": 40 + number,
                    "sex": "F",
                    "race": "White",
                    "ethnicity": "not Hispanic",
                    "borough": "Queens",
                    "text": synthetic_note(rng, rng.randint(3, 60)),
                }
            )
    types = {"label": pl.Int32, "age": pl.Int32, "prediction_time": pl.Datetime("us")}
    return pl.DataFrame(rows).select(schemas.EXAMPLES.names).cast(types)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the questions among its texts, so that a prompt is some hundred tokens."""
    folder = tmp_path_factory.mktemp("tiny_tokenizer")
    rng = random.Random(SEED)
    questions = [task.question_block for task in TASKS.values()] * 40
    train_tokenizer(iter([*(synthetic_note(rng, 40) for _ in range(200)), *questions]), folder, VOCAB_SIZE, seed=SEED)
    return folder


@pytest.fixture(scope="session")
def vocab_size(tokenizer_folder: Path) -> int:
    return fast_tokenizer(tokenizer_folder).get_vocab_size()


@pytest.fixture(scope="session")
def shard_folders(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> dict[str, Path]:
    """Two corpora of some 4,000 tokens each."""
    rng = random.Random(SEED)
    folders = {}
    for corpus in ("notes", "web_text"):
        folder = tmp_path_factory.mktemp(corpus)
        documents = {"id": [f"{corpus}-{i}" for i in range(80)], "text": [synthetic_note(rng, 30) for _ in range(80)]}
        pl.DataFrame(documents).write_parquet(folder / "documents.parquet")
        folders[corpus] = folder / "shards"
        folders[corpus].mkdir()
        write_shards(
            [folder / "documents.parquet"],
            id_column="id",
            text_column="text",
            tokenizer_folder=tokenizer_folder,
            output=folders[corpus],
            val_fraction=0.1,
            shard_tokens=1000,
            seed=SEED,
            num_workers=1,
            on_progress=lambda done, total: None,
        )
    return folders


@pytest.fixture(scope="session")
def example_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("examples")
    files = {task: folder / f"{task}.parquet" for task in ("mortality", "length_of_stay")}
    for task, file in files.items():
        synthetic_examples(task).write_parquet(file)
    return files


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, vocab_size: int) -> Path:
    """A Hugging Face folder of a decoder with random weights, large enough that its answers differ."""
    folder = tmp_path_factory.mktemp("tiny_model") / "model"
    model = build_model(SHAPE, vocab_size, SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(12)
    save_model(model, model.state_dict(), tokenizer_folder, folder)
    return folder


@pytest.fixture(scope="session")
def process_group() -> Iterator[dict[str, str]]:
    """This process as the only rank of a process group; the variables by which DeepSpeed knows of it.

    Once for all tests: DeepSpeed keeps groups of its own for as long as the process lives, and a second process group would
    not know them.
    """
    import deepspeed
    import torch.distributed as dist
    from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder

    # As the jobs do: half a minute of C++ for what serves inference alone.
    deepspeed.ops.__compatible_ops__[ShareMemCommBuilder.NAME] = False
    rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    variables = {**rank, "MASTER_PORT": str(free_port())}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    yield variables
    # Modules outside of this folder import the fixture, which makes it another one of the same group.
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def one_rank(process_group: dict[str, str]) -> Iterator[World]:
    """The only rank, as the launcher would set it up; jobs that other modules launch do not inherit its variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in process_group.items():
            patch.setenv(name, value)
        yield World(rank=0, size=1, device=torch.device("cpu"))


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
