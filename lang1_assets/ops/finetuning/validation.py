"""How well the model does on validation notes: what early stopping and the search go by."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from lang1_assets.ops.finetuning.learner import Learner
from lang1_assets.ops.finetuning.notes import HeldOut
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.training.world import World

VALIDATION_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How well the model does on validation notes."""

    loss: float
    """Mean over tasks of the cross-entropy of the right option among the options, of notes as they come."""
    micro_auroc: float
    """Mean over tasks of the micro-averaged one-versus-rest AUROC: what early stopping watches."""
    by_task: dict[str, float]
    """AUROC of each task, macro-averaged where there are more than two classes."""


@torch.no_grad()
def validate(model: Any, learner: Learner, val: dict[str, HeldOut], world: World) -> Validation:
    """Loss and AUROC over all ranks; each rank scores its share of every task's notes."""
    model.eval()
    losses, micro, by_task = [], [], {}
    for task, held_out in val.items():
        prompts = held_out.prompts
        logits = score_share(model, learner, prompts, world)
        each = functional.cross_entropy(logits, torch.from_numpy(prompts.labels), reduction="none")
        losses.append(float(np.average(each.double().numpy(), weights=held_out.weights)))
        if not torch.isfinite(logits).all():
            # A diverged model has no AUROC: a trial of the search that did so is out, and not the end of the job.
            by_task[task] = math.nan
            continue
        probabilities = torch.softmax(logits.double(), dim=-1).numpy()
        outcome = auroc(prompts.labels, probabilities)
        by_task[task] = outcome.value
        micro.append(outcome.micro)
    model.train()
    known = [value for value in micro if math.isfinite(value)]
    return Validation(
        loss=statistics.fmean(losses), micro_auroc=statistics.fmean(known) if known else 0.5, by_task=by_task
    )


def score_share(model: Any, learner: Learner, prompts: PromptSet, world: World) -> torch.Tensor:
    """Option logits of all prompts, (num_prompts, num_options), on every rank."""
    # Contiguous runs of the length order; padded so that every rank runs the same number of batches (ZeRO-3 is collective).
    order = np.argsort([len(row) for row in prompts.ids], kind="stable")
    per_round = VALIDATION_BATCH * world.size
    mine: list[tuple[np.ndarray, np.ndarray]] = []
    for start in range(0, len(order), per_round):
        rows = order[start : start + per_round][world.rank :: world.size]
        shown = rows if len(rows) else order[:1]
        input_ids, last = pad_right([prompts.ids[i] for i in shown])
        logits = learner.option_logits(model, input_ids.to(world.device), last.to(world.device), prompts)
        mine.append((rows, logits.float().cpu().numpy()[: len(rows)]))
    merged = torch.zeros((len(order), len(prompts.letter_ids)))
    for shares in world.gather(mine):
        for rows, values in shares:
            merged[rows] = torch.from_numpy(values)
    return merged
