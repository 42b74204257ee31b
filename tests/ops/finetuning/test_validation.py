"""How a model is looked at while it is finetuned."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lang1_assets.ops.finetuning import learner as learners
from lang1_assets.ops.finetuning import validation
from lang1_assets.ops.finetuning.validation import score_share, validate
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.training.world import World
from tests.ops.finetuning.running import held_out, learner, val_prompts
from tests.ops.finetuning.test_batches import rank


def test_validation_is_scoring_and_auroc(config: dict[str, Any], model_folder: Path, one_rank: World) -> None:
    """Against the probabilities that evaluation gives for the same notes."""
    val = held_out(config)
    model = open_model(model_folder)
    outcome = validate(model, learner(config), val, one_rank)
    assert model.training
    losses, micro = [], []
    for task, held in val.items():
        prompts = held.prompts
        probabilities = score_options(model.eval(), prompts, batch_size=3)
        each = -np.log(probabilities[np.arange(20), prompts.labels])
        losses.append((each * held.weights).sum() / held.weights.sum())
        expected = auroc(prompts.labels, probabilities)
        assert outcome.by_task[task] == pytest.approx(expected.value)
        micro.append(expected.micro)
    assert outcome.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert outcome.micro_auroc == pytest.approx(np.mean(micro))


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_the_ranks_share_the_validation_notes(
    num_ranks: int, config: dict[str, Any], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty notes in batches of 4 over 2 or 3 ranks: some ranks have none in the last round, and run it all the same."""
    monkeypatch.setattr(validation, "VALIDATION_BATCH", 4)
    prompts = val_prompts(config)["length_of_stay"]
    model, shares, passes = open_model(model_folder).eval(), [], []
    answer_logits = learners.answer_logits
    monkeypatch.setattr(learners, "answer_logits", lambda *values: passes.append(1) or answer_logits(*values))
    monkeypatch.setattr(World, "gather", lambda self, value: shares.append(value) or shares)
    for number in range(num_ranks):
        with torch.no_grad():
            merged = score_share(model, learner(config), prompts, rank(number, num_ranks))
    assert len(passes) == num_ranks * math.ceil(20 / (4 * num_ranks))
    probabilities = torch.softmax(merged.double(), dim=-1).numpy()
    np.testing.assert_allclose(probabilities, score_options(model, prompts, batch_size=20), atol=1e-6)
