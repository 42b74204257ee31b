"""Folders of models from elsewhere: what they are asked is what their own tokenizer reads."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from lang1_assets.ops import outside_models
from lang1_assets.ops.comprehension import option_likelihoods
from lang1_assets.ops.evaluation import ScoringConfig, predict_with
from lang1_assets.ops.outside_models import ModelError, num_parameters, open_folder
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import SEED, synthetic_examples, synthetic_note
from tests.ops.test_comprehension import questions

CONTEXT = 256


@pytest.fixture(scope="module")
def without_bos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Qwen's are: a byte-level tokenizer that knows no beginning of text."""
    folder = tmp_path_factory.mktemp("qwen")
    rng = random.Random(SEED)
    texts = [*(synthetic_note(rng, 40) for _ in range(50)), *(task.question_block for task in TASKS.values())]
    # Built by Qwen's own class: given another reading of bytes in tokenizer.json, that class would not follow it.
    tokenizer = Qwen2Tokenizer().train_new_from_iterator([*texts * 10, " A B C D E"], vocab_size=900)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(SEED)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=CONTEXT, **shape)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@torch.no_grad()
def log_probabilities(folder: Path, text: str) -> tuple[list[int], torch.Tensor]:
    """Ids of a text as plain transformers reads it, and the log-probabilities after each, (length, vocabulary)."""
    ids = AutoTokenizer.from_pretrained(folder)(text).input_ids
    logits = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(torch.tensor([ids])).logits[0]
    return ids, torch.log_softmax(logits.double(), dim=-1)


def test_a_model_without_bos_scores_as_plain_transformers_does(without_bos: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(without_bos)
    assert tokenizer.bos_token_id is None
    task, rows = TASKS["comorbidity"], synthetic_examples("comorbidity")
    rows.write_parquet(tmp_path / "examples.parquet")
    config = ScoringConfig(note_tokens=80, context_length=CONTEXT, max_examples=4, batch_size=4, seed=SEED)
    files = {"comorbidity": tmp_path / "examples.parquet"}
    scored = predict_with(open_folder(without_bos), without_bos, files, ["test"], config, lambda _: None)
    for note_id, found in scored.predictions.select("note_id", "probabilities").iter_rows():
        text = rows.filter(note_id=note_id)["text"].item()
        cut = tokenizer.decode(tokenizer(text).input_ids[:80])
        _, after = log_probabilities(without_bos, f"{cut}\n{task.question_block}")
        letters = [tokenizer(f" {letter}").input_ids for letter in task.letters]
        assert [len(ids) for ids in letters] == [1] * 5
        expected = torch.softmax(after[-1, [ids[0] for ids in letters]], dim=-1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert len(scored.predictions) == 4


@pytest.mark.parametrize("is_tied", [False, True])
def test_parameters_are_counted_without_weights(
    is_tied: bool, without_bos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    config = AutoModelForCausalLM.from_pretrained(without_bos).config
    config.tie_word_embeddings = is_tied
    Qwen2ForCausalLM(config).save_pretrained(folder, max_shard_size="20KB")
    expected = open_folder(folder).num_parameters()
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) > 1
    with monkeypatch.context() as patch:
        patch.setattr(outside_models, "open_model", lambda *arguments: pytest.fail("its weights were read"))
        assert num_parameters(folder) == expected
        files[0].unlink()
        with pytest.raises(ModelError, match=f"its config.json is of a model of {expected:,}; bring the missing files"):
            num_parameters(folder)


@pytest.mark.parametrize("context_length", [CONTEXT, 24])
def test_comprehension_of_a_model_without_bos(without_bos: Path, context_length: int) -> None:
    """In the second case the whole context is for the text, and its beginning is lost."""
    asked = questions(3, 12)
    found = option_likelihoods(open_folder(without_bos), without_bos, asked, context_length, batch_size=4)
    for row, likelihoods in zip(asked.iter_rows(named=True), found, strict=True):
        for option, likelihood in zip(row["options"], likelihoods, strict=True):
            expected = likelihood_of(without_bos, row, option, context_length)
            assert likelihood == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def likelihood_of(folder: Path, row: dict[str, object], option: str, context_length: int) -> float:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = f"{row['context']}\nQuestion: {row['question']}\nAnswer:"
    num_answer = len(tokenizer(f"{prompt} {option}").input_ids) - len(tokenizer(prompt).input_ids)
    ids = tokenizer(f"{prompt} {option}").input_ids[-context_length:]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    table = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), dim=-1)
    return sum(table[place - 1, ids[place]].item() for place in range(len(ids) - num_answer, len(ids)))
