import copy
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from lang1_assets.ops.prompts import PromptSet, build_prompts
from lang1_assets.ops.scoring import on_every_device, pad_right, score_in_step, score_options, score_together
from lang1_assets.ops.scoring.packing import PackedLinear, can_pack
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import PROMPT_CONTEXT, synthetic_examples

TASK = TASKS["length_of_stay"]


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return synthetic_examples(TASK.name).head(13)


@pytest.fixture(scope="module")
def prompts(rows: pl.DataFrame, tokenizer_folder: Path) -> PromptSet:
    return build_prompts(TASK, rows["text"].to_list(), rows["label"].to_list(), tokenizer_folder, 40, PROMPT_CONTEXT)


@pytest.fixture(scope="module")
def model(model_folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(model_folder).eval()


@torch.no_grad()
def one_by_one(model: torch.nn.Module, folder: Path, texts: list[str]) -> np.ndarray:
    """From text, a note at a time, a letter at a time, with nothing of ours: the tokenizer's own BOS, the full logits."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    table = []
    for text in texts:
        note = tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids[:40])
        likelihoods = []
        for letter in "ABCD":
            ids = tokenizer(f"{note}\n{TASK.question_block} {letter}", return_tensors="pt").input_ids
            log_probabilities = torch.log_softmax(model(input_ids=ids).logits[0].double(), dim=-1)
            likelihoods.append(log_probabilities[-2, ids[0, -1]].item())
        weights = np.exp(np.array(likelihoods) - max(likelihoods))
        table.append(weights / weights.sum())
    return np.array(table)


def test_equals_scoring_one_by_one(
    model: torch.nn.Module, model_folder: Path, prompts: PromptSet, rows: pl.DataFrame
) -> None:
    scored = score_options(model, prompts, batch_size=4)
    assert scored.shape == (13, 4)
    np.testing.assert_allclose(scored, one_by_one(model, model_folder, rows["text"].to_list()), atol=2e-6)
    # Not a flat line, which would equal anything.
    assert scored.std(axis=0).min() > 1e-3


def test_rows_sum_to_one(model: torch.nn.Module, prompts: PromptSet) -> None:
    scored = score_options(model, prompts, batch_size=5)
    np.testing.assert_allclose(scored.sum(axis=1), 1, atol=1e-12)
    assert (scored > 0).all()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_changes_nothing(model: torch.nn.Module, prompts: PromptSet, batch_size: int) -> None:
    np.testing.assert_allclose(
        score_options(model, prompts, batch_size), score_options(model, prompts, batch_size=7), atol=1e-6
    )


def test_the_order_changes_nothing(model: torch.nn.Module, prompts: PromptSet) -> None:
    order = np.random.default_rng(3).permutation(len(prompts.ids))
    shuffled = PromptSet(
        ids=[prompts.ids[i] for i in order], letter_ids=prompts.letter_ids, labels=prompts.labels[order]
    )
    np.testing.assert_allclose(
        score_options(model, shuffled, batch_size=4), score_options(model, prompts, batch_size=4)[order], atol=1e-6
    )


def test_no_prompt_gives_an_empty_table(model: torch.nn.Module, prompts: PromptSet) -> None:
    nothing = PromptSet(ids=[], letter_ids=prompts.letter_ids, labels=np.zeros(0, dtype=np.int64))
    assert score_options(model, nothing, batch_size=4).shape == (0, 4)


@pytest.fixture(scope="module")
def four_questions(tokenizer_folder: Path) -> list[PromptSet]:
    """Those of the tasks that read the note of admission, about the same notes, each longer than its question."""
    texts = [text for text in synthetic_examples(TASK.name)["text"] if len(text.split()) > 50][:9]
    labels = [0] * len(texts)
    return [
        build_prompts(task, texts, labels, tokenizer_folder, 55, PROMPT_CONTEXT)
        for task in TASKS.values()
        if task.note_type == "hp"
    ]


@pytest.fixture(scope="module")
def after_examples(model: torch.nn.Module, prompts: PromptSet) -> PromptSet:
    """Behind 40 tokens that all have in common; a batch of 64 of the longest holds them all, one of 1 does not."""
    shown = np.random.default_rng(8).integers(3, 500, 40)
    ids = [np.concatenate((row[:1], shown, row[1:]))[:PROMPT_CONTEXT] for row in prompts.ids]
    return PromptSet(ids=ids, letter_ids=prompts.letter_ids, labels=prompts.labels)


def plainly(model: torch.nn.Module, prompts: PromptSet) -> np.ndarray:
    """A prompt at a time, the full logits."""
    with torch.no_grad():
        logits = [model(torch.from_numpy(row)[None]).logits[0, -1, prompts.letter_ids].double() for row in prompts.ids]
    return torch.softmax(torch.stack(logits), -1).numpy()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_note_read_once_for_all_questions_gives_the_same(
    model: torch.nn.Module, four_questions: list[PromptSet], batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    embedding = model.model.embed_tokens
    monkeypatch.setattr(embedding, "forward", lambda ids, own=embedding.forward: passes.append(ids.numel()) or own(ids))
    together = score_together([model], four_questions, batch_size)
    read = sum(passes)
    assert read < 0.75 * sum(len(row) for prompts in four_questions for row in prompts.ids)
    for found, prompts in zip(together, four_questions, strict=True):
        np.testing.assert_allclose(found, plainly(model, prompts), atol=1e-6)
        assert found.std(axis=0).min() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_examples_read_once_give_the_same(model: torch.nn.Module, after_examples: PromptSet, batch_size: int) -> None:
    np.testing.assert_allclose(
        score_options(model, after_examples, batch_size), plainly(model, after_examples), atol=1e-6
    )


def test_two_devices_share_the_work(
    model: torch.nn.Module, four_questions: list[PromptSet], after_examples: PromptSet
) -> None:
    """Two copies on the CPU stand for two GPUs: each takes batches, none is scored twice or left out."""
    copies = [model, copy.deepcopy(model)]
    taken: dict[int, int] = {}

    def counted(number: int, own: Any) -> Any:
        def forward(ids: torch.Tensor) -> Any:
            taken[number] = taken.get(number, 0) + 1
            # The first batch waits for the other worker, so that neither takes them all.
            if taken[number] == 1:
                both.wait(timeout=30)
            return own(ids)

        return forward

    both = threading.Barrier(2)
    with pytest.MonkeyPatch.context() as patch:
        for number, one in enumerate(copies):
            embedding = one.model.embed_tokens
            patch.setattr(embedding, "forward", counted(number, embedding.forward))
        found = score_together(copies, [*four_questions, after_examples], batch_size=1)
    assert set(taken) == {0, 1}
    for part, prompts in zip(found, [*four_questions, after_examples], strict=True):
        np.testing.assert_allclose(part, plainly(model, prompts), atol=1e-6)


def test_a_worker_that_fails_fails_the_whole(model: torch.nn.Module, prompts: PromptSet) -> None:
    broken = copy.deepcopy(model)
    broken.model.norm.weight = None
    with pytest.raises((TypeError, RuntimeError)):
        score_together([broken], [prompts], batch_size=2)


def test_without_a_gpu_the_layers_are_packed_and_the_probabilities_the_same(
    model: torch.nn.Module, four_questions: list[PromptSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (packed,) = on_every_device(copy.deepcopy(model))
    assert sum(isinstance(module, PackedLinear) for module in packed.modules()) == 14
    for found, prompts in zip(score_together([packed], four_questions, 2), four_questions, strict=True):
        np.testing.assert_allclose(found, plainly(model, prompts), atol=1e-6)


class Moved:
    """In the place of a model: what is done to it."""

    def __init__(self, done: tuple[Any, ...] = ()) -> None:
        self.done = done

    def to(self, where: Any) -> "Moved":
        self.done = (*self.done, where)
        return self

    def __deepcopy__(self, memo: Any) -> "Moved":
        return Moved((*self.done, "copied"))


def test_each_gpu_holds_one_model_which_was_cast_before_it_got_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = [model.done for model in on_every_device(Moved())]
    assert found == [(torch.bfloat16, "cuda:0"), (torch.bfloat16, "copied", "cuda:1")]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(1, 16), (7, 16), (3, 700, 16)])
def test_a_packed_layer_is_the_layer(bias: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    linear = torch.nn.Linear(16, 40, bias=bias)
    inputs = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(PackedLinear(linear)(inputs), linear(inputs), atol=1e-5, rtol=1e-5)


def test_only_float32_on_a_cpu_is_packed(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_pack(model)
    assert not can_pack(copy.deepcopy(model).to(torch.bfloat16))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not can_pack(model)


SMALL = {
    "vocab_size": 700,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}


@pytest.mark.parametrize(
    "other",
    [
        lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL)),
        lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=2.0)),
    ],
    ids=["plain", "soft-capped logits"],
)
def test_other_decoders(other: Any, prompts: PromptSet) -> None:
    torch.manual_seed(3)
    model = other().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.dim() == 2 else 1)
    found = score_options(model, prompts, batch_size=4)
    np.testing.assert_allclose(found, plainly(model, prompts), atol=1e-6)
    assert found.std(axis=0).min() > 1e-4


def test_in_step_every_rank_makes_as_many_passes(
    model: torch.nn.Module, prompts: PromptSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    head = model.lm_head
    monkeypatch.setattr(head, "forward", lambda hidden, own=head.forward: passes.append(1) or own(hidden))
    found = score_in_step(model, prompts, batch_size=5)
    assert len(passes) == 3
    np.testing.assert_allclose(found, plainly(model, prompts), atol=1e-6)


def test_padding_is_on_the_right() -> None:
    padded, last = pad_right([np.array([5, 6, 7]), np.array([8])])
    assert padded.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert last.tolist() == [2, 0]
