"""The parts of a card that say more than their numbers."""

from types import SimpleNamespace

import pytest

from lang1_assets.ops.model_card import tables


@pytest.mark.parametrize(
    ("steps", "max_steps", "words"),
    [
        (321, 1600, "at step 300 of 1,600; stopped early at step 321"),
        (1600, 1600, "at step 300 of 1,600; all were taken"),
        # Asked for were 1,600, of a task with few notes.
        (400, 400, "at step 300 of 400 (8 passes over its notes); all were taken"),
        (321, 400, "at step 300 of 400 (8 passes over its notes); stopped early at step 321"),
    ],
)
def test_only_a_run_that_ended_before_its_last_step_was_stopped(steps: int, max_steps: int, words: str) -> None:
    facts = SimpleNamespace(
        finetuned={"steps": steps, "max_steps": max_steps, "best_step": 300, "best_val_micro_auroc": 0.789},
        settings={"max_steps": 1600, "max_epochs": 8.0},
    )
    assert tables.chosen(facts) == f"Chosen by micro-AUROC on validation (0.789) {words}"  # type: ignore[arg-type]
