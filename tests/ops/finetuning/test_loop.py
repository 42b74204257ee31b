"""The job in this process, killed and not, and on two ranks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from lang1_assets.ops.finetuning import loop
from lang1_assets.ops.finetuning.config import FinetuneConfig, LoopState, with_length
from lang1_assets.ops.finetuning.loop import out_of_patience
from lang1_assets.ops.finetuning.validation import Validation, validate
from lang1_assets.ops.model import open_model
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.training.checkpoints import finished
from lang1_assets.ops.training.world import World
from tests.ops.finetuning.running import MAX_STEPS, Flag, Killed, held_out, learner, patch_steps, run, val_prompts
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of


def test_the_job_leaves_the_best_model(undisturbed: Path, config: dict[str, Any], one_rank: World) -> None:
    summary = summary_of(undisturbed)
    values = last_values(undisturbed)
    validated = {step: value for (step, name), value in values.items() if name == "val/auroc_micro"}
    assert sorted(validated) == [2, 4, 6, 8]
    assert summary["best_val_micro_auroc"] == max(validated.values()) == validated[summary["best_step"]]
    assert summary["train_notes"] == {"mortality": 32, "length_of_stay": 32}
    assert values[MAX_STEPS, "train/loss"] < values[1, "train/loss"]
    # The model in the folder is the one that was validated at that step.
    again = validate(open_model(undisturbed / "model"), learner(config), held_out(config), one_rank)
    assert again.micro_auroc == pytest.approx(summary["best_val_micro_auroc"])
    assert not (undisturbed / "resume").exists()
    assert not (undisturbed / "best").exists()


def test_a_run_killed_twice_and_stopped_once_gives_the_same_model(
    undisturbed: Path, config: dict[str, Any], one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second trial of the search; by a signal after step 3 of the full run; at step 6, before it is saved."""
    take_step, steps = loop.take_step, []

    def take_step_until(limit: int) -> Any:
        def step(*values: Any) -> torch.Tensor:
            steps.append(1)
            if len(steps) == limit:
                raise Killed
            return take_step(*values)

        return step

    patch_steps(monkeypatch, take_step_until(2 + 1))
    with pytest.raises(Killed):
        run(config, tmp_path, one_rank)
    assert len(json.loads((tmp_path / "search.json").read_text())) == 1

    # The second trial's two steps ask as well.
    patch_steps(monkeypatch, take_step)
    assert run(config, tmp_path, one_rank, Flag(at=2 + 4)) is False
    assert finished(tmp_path / "resume")[-1].step == 4
    assert not (tmp_path / "summary.json").exists()

    steps.clear()
    patch_steps(monkeypatch, take_step_until(4))
    with pytest.raises(Killed):
        run(config, tmp_path, one_rank)
    assert finished(tmp_path / "resume")[-1].step == 6

    patch_steps(monkeypatch, take_step)
    assert run(config, tmp_path, one_rank)
    assert summary_of(tmp_path) == summary_of(undisturbed)
    assert (tmp_path / "search.json").read_text() == (undisturbed / "search.json").read_text()
    assert last_values(tmp_path) == last_values(undisturbed)
    assert same_weights(tmp_path / "model", undisturbed / "model")


def test_two_ranks_under_zero_3_give_the_model_of_one_rank(
    undisturbed: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    """The real job; sums over two ranks are rounded otherwise, so nearly and not exactly."""
    changed = {**config, "training": {**config["training"], "zero_stage": 3, "micro_batch_size": 2}}
    assert launch(tmp_path, changed, "lang1_assets.ops.finetuning") == 0, log_of(tmp_path)[-3000:]
    ours, theirs = summary_of(tmp_path), summary_of(undisturbed)
    assert ours.pop("best_val_micro_auroc") == pytest.approx(theirs.pop("best_val_micro_auroc"), abs=0.01)
    assert ours == {**theirs, "num_ranks": 2}
    for key, value in last_values(undisturbed).items():
        assert last_values(tmp_path)[key] == pytest.approx(value, rel=1e-3, abs=0.01 if "auroc" in key[1] else 1e-4), (
            key
        )
    weights, expected = (load_file(work / "model" / "model.safetensors") for work in (tmp_path, undisturbed))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)


def test_weights_that_were_the_best_before_a_crash_and_are_not_afterwards_are_gone(
    config: dict[str, Any], one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the looks of steps 2 and 4, of which nothing was saved; of the same steps again step 2 alone is good."""
    quiet = {**config, "search": {**config["search"], "num_trials": 0}}
    quiet["training"] = {**config["training"], "save_every_steps": 100}

    def looked(values: list[float]) -> None:
        left = iter(values)

        def look(model: Any, *others: Any) -> Validation:
            value = next(left)
            if value < 0:
                raise Killed
            return Validation(loss=1.0, micro_auroc=value, by_task={})

        monkeypatch.setattr(loop, "validate", look)

    looked([0.6, 0.9, -1])
    with pytest.raises(Killed):
        run(quiet, tmp_path, one_rank)
    assert [folder.name for folder in sorted((tmp_path / "best").iterdir())] == ["step-00000002", "step-00000004"]
    looked([0.7, 0.5, 0.5, -1])
    with pytest.raises(Killed):
        run(quiet, tmp_path, one_rank)
    assert [folder.name for folder in (tmp_path / "best").iterdir()] == ["step-00000002"]
    of_step_2 = load_file(tmp_path / "best" / "step-00000002" / "model.safetensors")
    looked([0.7, 0.5, 0.5, 0.5])
    assert run(quiet, tmp_path, one_rank)
    assert summary_of(tmp_path)["best_step"] == 2
    kept = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in of_step_2.items())
    assert not (tmp_path / "best").exists()


def test_only_weights_that_a_resume_point_knows_are_kept(
    config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    """Every look is better than the one before: of steps 1 to 6, saved at 3 and 6, the second point's are 6, the first's 3."""
    better = iter(range(1, 100))
    every = {**config["training"], "validate_every_steps": 1, "save_every_steps": 3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            loop, "validate", lambda *values: Validation(loss=1.0, micro_auroc=next(better) / 100, by_task={})
        )
        quiet = {**config, "training": every, "search": {**config["search"], "num_trials": 0}}
        assert run(quiet, tmp_path, one_rank, Flag(at=7)) is False
    assert [manifest.step for manifest in finished(tmp_path / "resume")] == [6, 7]
    assert [folder.name[-1] for folder in sorted((tmp_path / "best").iterdir())] == ["6", "7"]


def test_what_is_opened_for_inference_is_trained_with_dropout_from_the_first_step(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Activation checkpointing goes by the same switch."""
    training: list[bool] = []
    take_step = loop.take_step
    patch_steps(
        monkeypatch, lambda engine, *others: training.append(engine.module.model.training) or take_step(engine, *others)
    )
    run(config, tmp_path, one_rank, Flag(at=2 + 2 + 1))
    assert training == [True] * 5


def test_patience_ends_a_run_at_a_validation_and_never_before_the_first(
    config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    patience = FinetuneConfig.from_json({**config, "patience_steps": 3})
    ends = [step for step in range(1, 13) if out_of_patience(patience, LoopState(step=step, best_step=4))]
    assert ends == [8, 10, 12]
    training = {**config["training"], "validate_every_steps": 3, "learning_rate": 1e-12}
    impatient = {**config, "patience_steps": 1, "training": training, "search": {**config["search"], "num_trials": 0}}
    assert run(impatient, tmp_path, one_rank)
    # A rate that changes nothing: the first validation is the best, and the second is the last.
    assert (summary_of(tmp_path)["best_step"], summary_of(tmp_path)["steps"]) == (3, 6)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_few_notes_make_a_short_run_that_is_looked_at_often_enough(config: dict[str, Any]) -> None:
    read = FinetuneConfig.from_json({**config, "max_epochs": 2})
    assert with_length(read, {"mortality": 32, "length_of_stay": 32}) == read
    training = with_length(read, {"mortality": 7, "length_of_stay": 8}).training
    assert (training.max_steps, training.validate_every_steps) == (4, 1)


def test_adapters_learn_and_the_base_does_not(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path
) -> None:
    """The adapter folder opens with PEFT, and the model folder is base and adapter in one."""
    lora = {"rank": 2, "alpha": 4, "dropout": 0.05, "modules": ["q_proj", "v_proj"]}
    assert run({**config, "lora": lora}, tmp_path, one_rank)
    adapted = PeftModel.from_pretrained(open_model(model_folder), str(tmp_path / "adapter"))
    layers = open_model(model_folder).config.num_hidden_layers
    assert len(load_file(tmp_path / "adapter" / "adapter_model.safetensors")) == 2 * 2 * layers
    prompts = val_prompts(config)["mortality"]
    expected = score_options(adapted.merge_and_unload().eval(), prompts, batch_size=4)
    found = score_options(open_model(tmp_path / "model").eval(), prompts, batch_size=4)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - score_options(open_model(model_folder).eval(), prompts, batch_size=4)).max() > 1e-4
    weights, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "model", model_folder))
    changed = {name for name, value in weights.items() if not torch.equal(value, base[name])}
    assert changed == {name for name in weights if "q_proj" in name or "v_proj" in name}
    assert 0 < summary_of(tmp_path)["num_trained_parameters"] < 0.2 * sum(map(torch.numel, base.values()))
