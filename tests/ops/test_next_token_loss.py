"""The chunked loss against torch's own cross-entropy over whole logits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from lang1_assets.ops.model import build_model
from lang1_assets.ops.next_token_loss import ChunkedCrossEntropy, NextTokenLoss, mean_cross_entropy
from tests.ops.conftest import SEED, SHAPE


def random_inputs(
    positions: int, vocabulary: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(positions * 1000 + vocabulary)
    hidden = torch.randn(positions, 8, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(vocabulary, 8, generator=generator).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(vocabulary, (positions,), generator=generator)


def with_whole_logits(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy((hidden @ weight.T).float(), targets)


@given(st.integers(1, 40), st.integers(2, 60), st.integers(1, 50), st.sampled_from([1.0, 0.125]))
def test_loss_and_gradients_are_those_of_whole_logits(
    positions: int, vocabulary: int, chunk: int, factor: float
) -> None:
    hidden, weight, targets = random_inputs(positions, vocabulary, torch.float32)
    expected = with_whole_logits(hidden, weight, targets)
    expected_gradients = torch.autograd.grad(expected * factor, (hidden, weight))
    loss = ChunkedCrossEntropy.apply(hidden, weight, targets, chunk)
    gradients = torch.autograd.grad(loss * factor, (hidden, weight))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(mean_cross_entropy(hidden, weight, targets, chunk), expected)
    torch.testing.assert_close(gradients, expected_gradients, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("chunk", [256, 1024])
def test_in_bf16_chunks_cost_little_precision(chunk: int) -> None:
    """A chunk's part of the output layer's gradient is rounded once more: 0.24 % from fp32 where whole logits are 0.19 %."""
    hidden, weight, targets = random_inputs(4096, 500, torch.bfloat16)
    truth = torch.autograd.grad(with_whole_logits(hidden.float(), weight.float(), targets), (hidden, weight))
    whole = torch.autograd.grad(with_whole_logits(hidden, weight, targets), (hidden, weight))
    chunked = torch.autograd.grad(ChunkedCrossEntropy.apply(hidden, weight, targets, chunk), (hidden, weight))
    for exact, plain, ours in zip(truth, whole, chunked, strict=True):
        assert (ours - exact).norm() <= 1.3 * (plain - exact).norm()


def test_tied_embeddings_get_both_gradients(vocab_size: int) -> None:
    shape = SHAPE.__class__(**{**vars(SHAPE), "tie_word_embeddings": True})
    model = build_model(shape, vocab_size, SEED)
    windows = torch.randint(vocab_size, (3, 20), generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad(model(input_ids=windows, labels=windows).loss, model.lm_head.weight)
    found = torch.autograd.grad(NextTokenLoss(model, chunk_tokens=7)(windows), model.lm_head.weight)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("chunk", [7, 4096])
def test_evaluation_gives_the_training_loss(vocab_size: int, chunk: int) -> None:
    loss = NextTokenLoss(build_model(SHAPE, vocab_size, SEED), chunk)
    windows = torch.randint(vocab_size, (3, 20), generator=torch.Generator().manual_seed(1))
    trained = loss(windows)
    with torch.no_grad():
        assert loss(windows).item() == pytest.approx(trained.item(), rel=1e-6)
