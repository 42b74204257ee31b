"""The project's own prompts and probabilities against lm-evaluation-harness itself, in memory."""

import math
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import lm_eval.tasks
import numpy as np
import polars as pl
import pytest
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer

from lang1_assets.ops.comprehension import right_answers
from lang1_assets.ops.few_shot import few_shot
from lang1_assets.ops.harness.few_shot import BalancedSampler
from lang1_assets.ops.harness.scores import aggregate_auroc, process_results
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import build_prompts, cut_notes, read_examples
from lang1_assets.ops.questions import read_questions
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import SEED
from tests.ops.harness.conftest import CONTEXT, NOTE_TOKENS, SPLIT

NOTE_TASKS = ["mortality", "length_of_stay"]
QUESTION_TASKS = ["comprehension", "sciq", "pubmedqa"]


def run_harness(task_folder: Path, model_folder: Path, cache: Path, shots: int) -> dict[str, Any]:
    """What the harness makes of all tasks; no batch of its own making and no file of its own."""
    manager = lm_eval.tasks.TaskManager(include_path=str(task_folder), include_defaults=False)
    model = HFLM(
        pretrained=open_model(model_folder),
        tokenizer=AutoTokenizer.from_pretrained(model_folder),
        add_bos_token=True,
        max_length=CONTEXT,
        batch_size=5,
        device="cpu",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
        outcome = lm_eval.simple_evaluate(
            model=model,
            tasks=["remede", "remede_comprehension", "remede_sciq", "remede_pubmedqa"],
            task_manager=manager,
            num_fewshot=shots,
            bootstrap_iters=0,
            log_samples=True,
        )
    assert outcome is not None
    return outcome


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("datasets_cache")


@pytest.fixture(scope="module")
def outcomes(task_folder: Path, long_model_folder: Path, cache: Path) -> dict[int, dict[str, Any]]:
    """By the number of examples that the caller wants; five are more than fit."""
    return {shots: run_harness(task_folder, long_model_folder, cache, shots) for shots in (0, 1, 5)}


@pytest.mark.parametrize("shots", [0, 1, 5])
@pytest.mark.parametrize("name", NOTE_TASKS)
def test_the_harness_gives_the_same_prompts_probabilities_and_auroc(
    name: str, shots: int, outcomes: dict[int, Any], long_model_folder: Path, example_files: dict[str, Path]
) -> None:
    rows = read_examples(example_files[name], SPLIT, 11, SEED)
    texts, labels = rows["text"].to_list(), rows["label"].to_list()
    task, folder = TASKS[name], long_model_folder
    shown = few_shot(task, example_files[name], folder, NOTE_TOKENS, CONTEXT, shots, SEED)
    assert shown.shots == shots if shots < 5 else 1 < shown.shots < 5
    assert (shown.note_tokens < NOTE_TOKENS) == (shots == 5)
    outcome = outcomes[shots]
    samples = {sample["doc"]["note_id"]: sample for sample in outcome["samples"][f"remede_{name}"]}
    assert sorted(samples) == rows["note_id"].to_list()
    notes = cut_notes(texts, folder, AutoTokenizer.from_pretrained(folder), shown.note_tokens)
    # Some notes are cut and some are not, or the comparison would leave out half of the matter.
    assert 0 < sum(map(str.__ne__, notes, texts)) < len(notes)
    for note_id, note in zip(rows["note_id"], notes, strict=True):
        asked = samples[note_id]["arguments"]
        asked = list(asked.values()) if isinstance(asked, dict) else asked
        prompts = {held["arg_0"] if isinstance(held, dict) else held[0] for held in asked}
        assert prompts == {f"{shown.before}{note}\n{task.question_block}"}
    prompts = build_prompts(task, texts, labels, folder, shown.note_tokens, CONTEXT, shown.before)
    ours = score_options(open_model(folder).eval(), prompts, batch_size=4)
    theirs = np.array([samples[note]["auroc"][1] for note in rows["note_id"]])
    np.testing.assert_allclose(theirs, ours, atol=1e-6)
    assert [samples[note]["auroc"][0] for note in rows["note_id"]] == labels
    expected = auroc(rows["label"].to_numpy(), ours).value
    assert outcome["results"][f"remede_{name}"]["auroc,none"] == pytest.approx(expected, abs=1e-6)
    assert ours.std(axis=0).min() > 1e-3


@pytest.mark.parametrize(("number", "name"), list(enumerate(QUESTION_TASKS)))
def test_the_harness_answers_the_same_questions_right(
    number: int, name: str, outcomes: dict[int, Any], long_model_folder: Path, question_files: list[Path]
) -> None:
    rows = read_questions(question_files[number], SEED)
    ours = right_answers(open_model(long_model_folder).eval(), long_model_folder, rows, CONTEXT, batch_size=4)
    samples = {sample["doc"]["note_id"]: sample["acc"] for sample in outcomes[0]["samples"][f"remede_{name}"]}
    assert [samples[key] for key in rows["question_id"]] == ours.tolist()
    assert 0 < ours.sum() < len(ours)
    assert outcomes[0]["results"][f"remede_{name}"]["acc,none"] == pytest.approx(ours.mean())


def test_a_question_is_never_its_own_example(outcomes: dict[int, Any]) -> None:
    for name in QUESTION_TASKS:
        for sample in outcomes[5]["samples"][f"remede_{name}"]:
            prompt = str(sample["arguments"])
            assert prompt.count(sample["doc"]["question"]) == len(sample["doc"]["options"])


def test_the_harness_leaves_no_copy_of_the_notes(outcomes: dict[int, Any], cache: Path) -> None:
    assert len(outcomes) == 3
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_the_sampler_balances_and_leaves_out_the_note_asked_about() -> None:
    docs = [{"note_id": f"n{number}", "label": int(number < 3)} for number in range(20)]
    sampler = BalancedSampler(docs)
    sampler.seed = 5
    for num in (1, 2, 4, 6):
        shown = sampler.sample(num)
        assert len({doc["note_id"] for doc in shown}) == num
        assert abs(2 * sum(doc["label"] for doc in shown) - num) <= 1
    four = sampler.sample(4)
    without = sampler.sample(4, eval_doc=four[0])
    assert four[0] not in without
    assert len(without) == 4
    again = BalancedSampler(docs[::-1])
    again.seed = 5
    assert again.sample(4) == four
    again.seed = 6
    assert BalancedSampler(docs).sample(10) != again.sample(10)


def test_probabilities_are_the_likelihoods_normalised() -> None:
    label, probabilities = process_results({"label": 2}, [(-1000.0, False), (-1001.0, False), (-999.0, True)])["auroc"]
    assert label == 2
    total = math.exp(-1) + math.exp(-2) + 1
    assert probabilities == pytest.approx([math.exp(-1) / total, math.exp(-2) / total, 1 / total])


def test_auroc_of_a_binary_task_is_of_the_second_option() -> None:
    assert aggregate_auroc([(0, [0.9, 0.1]), (1, [0.4, 0.6]), (0, [0.6, 0.4])]) == 1.0
    assert aggregate_auroc([(1, [0.9, 0.1]), (0, [0.4, 0.6])]) == 0.0


def test_ids_of_notes_stay_out_of_the_requests(outcomes: dict[int, Any]) -> None:
    docs = [sample["doc"] for sample in outcomes[1]["samples"]["remede_mortality"]]
    assert all(set(doc) == {"note_id", "label", "note", "question"} for doc in docs)
    assert pl.DataFrame(docs)["question"].n_unique() == 1
