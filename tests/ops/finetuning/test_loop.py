"""The job in this process, killed and not, and on two ranks."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from lang1_assets.ops.finetuning import learner as learners
from lang1_assets.ops.finetuning import loop, search, validation
from lang1_assets.ops.finetuning.config import FinetuneConfig, LoopState, SearchConfig, num_train_notes, with_length
from lang1_assets.ops.finetuning.learner import Learner, learner_of
from lang1_assets.ops.finetuning.loop import finetune, out_of_patience
from lang1_assets.ops.finetuning.notes import HeldOut, load_held_out, load_train
from lang1_assets.ops.finetuning.search import best_trial, draw_learning_rates
from lang1_assets.ops.finetuning.validation import Validation, score_share, validate
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.training import step as steps
from lang1_assets.ops.training.checkpoints import finished
from lang1_assets.ops.training.engine import start_engine, whole_weights
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World
from tests.ops.conftest import PROMPT_CONTEXT, SEED
from tests.ops.finetuning.test_batches import rank
from tests.ops.launching import last_values, launch, log_of, same_weights, summary_of

MAX_STEPS = 8


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


def learner(config: dict[str, Any]) -> Learner:
    return learner_of(FinetuneConfig.from_json(config))


def held_out(config: dict[str, Any]) -> dict[str, HeldOut]:
    return load_held_out(FinetuneConfig.from_json({**config, "validation_examples": 20}), learner(config))


def val_prompts(config: dict[str, Any]) -> dict[str, PromptSet]:
    return {task: held.prompts for task, held in held_out(config).items()}


class Flag:
    """In the place of a `StopFlag`: set when asked for the nth time."""

    def __init__(self, at: int = -1) -> None:
        self._left = at

    @property
    def is_set(self) -> bool:
        self._left -= 1
        return self._left == 0


def run(config: dict[str, Any], work: Path, world: World, flag: Flag | None = None) -> bool:
    work.mkdir(exist_ok=True)
    with Reporter(work, world.rank) as reporter:
        return finetune(FinetuneConfig.from_json(config), work, world, reporter, flag or Flag())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any], one_rank: World) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    assert run(config, work, one_rank)
    return work


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


def test_the_search_keeps_its_trials_and_uses_the_best(undisturbed: Path, config: dict[str, Any]) -> None:
    found = json.loads((undisturbed / "search.json").read_text())
    rates = draw_learning_rates(SearchConfig(**config["search"]), SEED)
    assert [trial["learning_rate"] for trial in found] == rates
    assert summary_of(undisturbed)["learning_rate"] == rates[best_trial(found)]
    for number, trial in enumerate(found):
        assert last_values(undisturbed, f"trial-{number}")[2, "val/loss"] == trial["val_loss"]


def patch_steps(monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    for module in (loop, search):
        monkeypatch.setattr(module, "take_step", step)


class Killed(BaseException):
    """Nothing in the job catches it."""


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


def test_a_stop_in_the_search_ends_it_at_the_next_step(
    undisturbed: Path, config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    """In the first step of the second trial: the first one is kept, and nothing of the full run is begun."""
    assert run(config, tmp_path, one_rank, Flag(at=3)) is False
    first, _ = json.loads((undisturbed / "search.json").read_text())
    assert json.loads((tmp_path / "search.json").read_text()) == [first]
    assert not (tmp_path / "resume").exists()


def test_a_search_with_adapters_that_was_interrupted_finds_the_same(
    config: dict[str, Any], one_rank: World, tmp_path: Path
) -> None:
    """Their dropout is a function of the step as well."""
    lora = {"rank": 2, "alpha": 4, "dropout": 0.3, "modules": ["q_proj", "v_proj"]}
    adapted = {**config, "lora": lora}
    for work, flags in ((tmp_path / "whole", [5]), (tmp_path / "cut", [3, 5])):
        for at in flags:
            assert run(adapted, work, one_rank, Flag(at=at)) is False
    whole, cut = (json.loads((tmp_path / work / "search.json").read_text()) for work in ("whole", "cut"))
    assert len(whole) == 2
    assert whole == cut


def test_a_trial_is_the_beginning_of_the_full_run(
    config: dict[str, Any], one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same schedule, so that a rate is judged by what the full run does with it; a warmup is done within the trial."""
    rates: list[tuple[int, float]] = []
    monkeypatch.setattr(steps, "set_learning_rate", lambda engine, rate: rates.append(rate))
    training = {**config["training"], "warmup_steps": 4, "max_steps": 100}
    search_of_one = {"num_trials": 1, "max_steps": 5, "low": 1e-3, "high": 1e-3}
    run({**config, "training": training, "search": search_of_one}, tmp_path, one_rank, Flag(at=5 + 1))
    full = FinetuneConfig.from_json({**config, "training": {**training, "warmup_steps": 0}}).training
    assert rates[:5] == pytest.approx([learning_rate_at(step, full, peak=1e-3) for step in range(5)])
    assert rates[5] == pytest.approx(1e-3 / 4)


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
    """And activation checkpointing, which is for training alone, is on."""
    training: list[bool] = []
    take_step = loop.take_step
    patch_steps(
        monkeypatch, lambda engine, *others: training.append(engine.module.model.training) or take_step(engine, *others)
    )
    run(config, tmp_path, one_rank, Flag(at=2 + 2 + 1))
    assert training == [True] * 5


def test_validation_notes_of_two_classes_are_balanced_and_their_loss_is_not(
    config: dict[str, Any], example_files: dict[str, Path], model_folder: Path, one_rank: World, tmp_path: Path
) -> None:
    """Nine deaths of a hundred notes of the same words: all of them are among twenty, and the loss is that of all hundred."""
    rows = pl.read_parquet(example_files["mortality"]).filter(split="val").head(1)
    many = pl.concat([rows] * 100).with_row_index("n")
    many = many.with_columns(
        note_id=pl.lit("n") + pl.col("n").cast(pl.String), label=(pl.col("n") < 9).cast(rows.schema["label"])
    ).drop("n")
    path = tmp_path / "examples.parquet"
    many.write_parquet(path)
    rare = {**config, "examples": {"mortality": path}}

    def loss_of(num: int) -> tuple[HeldOut, float]:
        read = FinetuneConfig.from_json({**rare, "validation_examples": num})
        held = load_held_out(read, learner(rare))
        return held["mortality"], validate(open_model(model_folder), learner(rare), held, one_rank).loss

    few, estimated = loss_of(20)
    assert few.prompts.labels.sum() == 9
    assert few.weights.sum() == pytest.approx(100)
    every, exact = loss_of(100)
    assert every.weights.tolist() == [1.0] * 100
    assert estimated == pytest.approx(exact, rel=1e-5)


def test_two_ranks_that_share_a_frozen_base_give_the_adapters_of_one_rank(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path
) -> None:
    """Under ZeRO-3 no rank ever has the base whole; of one rank it does. Without dropout, which differs by rank."""
    lora = {"rank": 2, "alpha": 4, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run({**config, "lora": lora}, alone, one_rank)
    training = {**config["training"], "zero_stage": 3, "micro_batch_size": 2}
    changed = {**config, "lora": lora, "training": training}
    assert launch(shared, changed, "lang1_assets.ops.finetuning") == 0, log_of(shared)[-3000:]
    weights, expected = (load_file(work / "model" / "model.safetensors") for work in (shared, alone))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], atol=1e-3, rtol=1e-3)
    base = load_file(model_folder / "model.safetensors")
    changed_names = {name for name, value in weights.items() if not torch.equal(value, base[name])}
    assert changed_names == {name for name in weights if "q_proj" in name or "v_proj" in name}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_under_zero_3_a_base_is_opened_in_shares(
    precision: str, config: dict[str, Any], model_folder: Path, one_rank: World
) -> None:
    """Never whole, in the precision that it is computed with, and with the file's weights; afterwards models are opened as ever."""
    training = {**config["training"], "zero_stage": 3, "precision": precision}
    lora = {"rank": 2, "alpha": 4, "dropout": 0.0, "modules": ["q_proj", "v_proj"]}
    module = learner({**config, "lora": lora, "training": training}).open()
    frozen = {name: value for name, value in module.named_parameters() if not value.requires_grad}
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    assert {(value.numel(), value.dtype) for value in frozen.values()} == {(0, dtype)}
    read = FinetuneConfig.from_json({**config, "training": {**training, "micro_batch_size": 8}})
    engine = start_engine(module, read.training, one_rank)
    expected = load_file(model_folder / "model.safetensors")
    weights = {name.replace(".base_layer", ""): value for name, value in whole_weights(engine).items()}
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value.to(dtype), msg=name)
    assert sum(value.numel() for value in open_model(model_folder).parameters()) > 0


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


def test_a_diverged_model_is_out_of_the_search_and_ends_the_full_run(
    config: dict[str, Any], model_folder: Path, one_rank: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverged = open_model(model_folder)
    with torch.no_grad():
        diverged.model.norm.weight.fill_(math.nan)
    outcome = validate(diverged, learner(config), held_out(config), one_rank)
    assert math.isnan(outcome.loss)
    assert all(math.isnan(value) for value in outcome.by_task.values())
    opened = iter([diverged, open_model(model_folder), diverged])
    monkeypatch.setattr(learners, "open_model", lambda folder: next(opened))
    with pytest.raises(ValueError, match=r"diverged by step 2 at learning rate .*; lower finetune\.search\.high"):
        run(config, tmp_path, one_rank)
    found = json.loads((tmp_path / "search.json").read_text())
    assert [math.isfinite(trial["val_loss"]) for trial in found] == [False, True]
    assert not (tmp_path / "model").exists()


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


def test_no_more_notes_are_read_than_the_run_can_use(config: dict[str, Any]) -> None:
    read = FinetuneConfig.from_json(config)
    assert num_train_notes(read) == MAX_STEPS * 8 / 2
    few = FinetuneConfig.from_json({**config, "max_notes": 7, "validation_examples": 24})
    assert {task: len(prompts.ids) for task, prompts in load_train(few, learner(config)).items()} == {
        "mortality": 7,
        "length_of_stay": 7,
    }
    for task, file in read.examples.items():
        labels = pl.read_parquet(file).filter(split="val")["label"].to_numpy()
        assert load_held_out(few, learner(config))[task].prompts.labels.tolist() == labels.tolist()


def test_few_notes_make_a_short_run_that_is_looked_at_often_enough(config: dict[str, Any]) -> None:
    read = FinetuneConfig.from_json({**config, "max_epochs": 2})
    assert with_length(read, {"mortality": 32, "length_of_stay": 32}) == read
    training = with_length(read, {"mortality": 7, "length_of_stay": 8}).training
    assert (training.max_steps, training.validate_every_steps) == (4, 1)


def test_fewer_notes_are_a_subset_of_more(config: dict[str, Any]) -> None:
    def chosen(max_notes: int) -> set[tuple[int, ...]]:
        read = FinetuneConfig.from_json({**config, "max_notes": max_notes})
        prompts = load_train(read, learner(config))["mortality"]
        return {tuple(row.tolist()) for row in prompts.ids}

    assert chosen(3) < chosen(10) < chosen(1_000)


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
