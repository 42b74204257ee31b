"""The encoder as a Hugging Face folder."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertForMaskedLM

from lang1_assets.ops.encoder.masked_token_loss import MaskedTokenLoss
from lang1_assets.ops.encoder.model import architecture_of, build_encoder, is_encoder
from tests.ops.conftest import SEED, SHAPE

NUM_PIECES = 40


def test_its_sizes_are_those_of_the_shape() -> None:
    model = build_encoder(SHAPE, NUM_PIECES, SEED)
    width, mlp, layers = SHAPE.hidden_size, SHAPE.intermediate_size, SHAPE.num_hidden_layers
    layer = 4 * (width * width + width) + (width * mlp + mlp) + (mlp * width + width) + 4 * width
    embeddings = (NUM_PIECES + 1 + SHAPE.context_length + 1) * width + 2 * width
    head = width * width + width + 2 * width + NUM_PIECES + 1
    assert model.num_parameters() == layers * layer + embeddings + head
    assert model.config.num_attention_heads == SHAPE.num_attention_heads
    # The first piece has an embedding like any other.
    assert model.bert.embeddings.word_embeddings.weight[0].abs().min() > 0


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, other = (build_encoder(SHAPE, NUM_PIECES, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.cls.predictions.decoder.weight, other.cls.predictions.decoder.weight)


def test_the_folder_is_anybody_s_masked_language_model(encoder_folder: Path, vocab_size: int) -> None:
    model = AutoModelForMaskedLM.from_pretrained(encoder_folder, use_safetensors=True)
    assert isinstance(model, BertForMaskedLM)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.vocab_size == vocab_size + 1
    assert architecture_of(encoder_folder) == "BertForMaskedLM"
    assert is_encoder(encoder_folder)


def test_a_decoder_is_no_encoder(model_folder: Path, tmp_path: Path) -> None:
    assert not is_encoder(model_folder)
    assert not is_encoder(tmp_path)


def slow_loss(model: BertForMaskedLM, input_ids: torch.Tensor, positions: torch.Tensor, targets: torch.Tensor) -> float:
    """Logits of everything, one target after the other."""
    logits = model(input_ids).logits.double()
    losses = []
    for row in range(len(input_ids)):
        for position, target in zip(positions[row].tolist(), targets[row].tolist(), strict=True):
            scores = logits[row, position]
            losses.append(-(scores[target] - torch.log(torch.exp(scores).sum())))
    return float(torch.stack(losses).mean().detach())


def test_the_loss_is_that_of_the_masked_positions(encoder_folder: Path, vocab_size: int) -> None:
    model = AutoModelForMaskedLM.from_pretrained(encoder_folder)
    generator = torch.Generator().manual_seed(3)
    input_ids = torch.randint(3, vocab_size + 1, (4, 24), generator=generator)
    positions = torch.stack([torch.randperm(24, generator=generator)[:5].sort().values for _ in range(4)])
    targets = torch.randint(3, vocab_size, (4, 5), generator=generator)
    loss = MaskedTokenLoss(model)(input_ids, positions, targets)
    assert loss.item() == pytest.approx(slow_loss(model, input_ids, positions, targets), rel=1e-5)
    labels = torch.full_like(input_ids, -100).scatter(1, positions, targets)
    theirs = model(input_ids, labels=labels).loss
    loss.backward()
    ours = {name: value.grad.clone() for name, value in model.named_parameters()}
    model.zero_grad()
    theirs.backward()
    for name, value in model.named_parameters():
        torch.testing.assert_close(ours[name], value.grad, atol=1e-5, rtol=1e-4)
