"""A pretrained encoder with random weights, tiny and synthetic."""

from pathlib import Path

import pytest
import torch

from lang1_assets.ops.encoder.model import build_encoder
from lang1_assets.ops.model import save_model
from tests.ops.conftest import SEED, SHAPE


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, vocab_size: int) -> Path:
    """With weights so large that what it says of two notes differs."""
    folder = tmp_path_factory.mktemp("tiny_encoder") / "model"
    model = build_encoder(SHAPE, vocab_size, SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    save_model(model, model.state_dict(), tokenizer_folder, folder)
    return folder
