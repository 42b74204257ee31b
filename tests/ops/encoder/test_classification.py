"""A head on an encoder: what it is made of, what it sees, and that it learns."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lang1_assets.ops.encoder.classification import (
    ClassificationLoss,
    EncoderError,
    class_logits,
    encoder_prompts,
    open_classifier,
)
from lang1_assets.ops.encoder.model import build_encoder
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import save_model
from lang1_assets.ops.prompts import PromptError
from lang1_assets.ops.scoring import pad_right
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SHAPE, synthetic_note

NOTE_TOKENS = 40
TEXTS = [synthetic_note(random.Random(number), 5 + 9 * number) for number in range(6)]


def test_the_encoder_is_kept_and_the_head_is_the_seed_s(encoder_folder: Path) -> None:
    state = torch.random.get_rng_state()
    first, second, other = (open_classifier(encoder_folder, 4, seed) for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), state)
    held = load_file(encoder_folder / "model.safetensors")
    kept = {name: value for name, value in first.state_dict().items() if name in held}
    assert len(kept) > 20
    assert all(torch.equal(value, held[name]) for name, value in kept.items())
    assert first.classifier.weight.shape == (4, SHAPE.hidden_size)
    assert torch.equal(first.classifier.weight, second.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_nothing_is_printed_about_the_new_head(encoder_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_classifier(encoder_folder, 2)
    printed = capfd.readouterr()
    assert "REPORT" not in printed.out + printed.err
    assert "sharded" not in printed.out + printed.err


def test_what_holds_no_such_encoder_is_refused(model_folder: Path, classifier_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="holds LlamaForCausalLM; expected a pretrained encoder"):
        open_classifier(model_folder, 2)
    with pytest.raises(EncoderError, match="holds no model"):
        open_classifier(tmp_path, 2)
    with pytest.raises(EncoderError, match="its head has 2 classes and the task 4"):
        open_classifier(classifier_folder, 4)


@pytest.fixture(scope="module")
def classifier_folder(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = open_classifier(encoder_folder, 2, SEED)
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    folder = tmp_path_factory.mktemp("classifier") / "model"
    save_model(model, model.state_dict(), encoder_folder, folder)
    return folder


def test_a_classifier_is_anybody_s_and_opens_with_its_own_head(classifier_folder: Path) -> None:
    ours = open_classifier(classifier_folder, 2, seed=99).eval()
    theirs = AutoModelForSequenceClassification.from_pretrained(classifier_folder, use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    ids = torch.tensor([tokenizer(TEXTS[1]).input_ids])
    with torch.no_grad():
        torch.testing.assert_close(class_logits(ours, ids, torch.tensor([ids.shape[1] - 1])), theirs(ids).logits)


def test_padding_changes_nothing(classifier_folder: Path) -> None:
    model = open_classifier(classifier_folder, 2).eval()
    rows = encoder_prompts(TEXTS, [0] * 6, 2, classifier_folder, NOTE_TOKENS, PROMPT_CONTEXT).ids
    assert len({len(row) for row in rows}) > 2
    with torch.no_grad():
        together = class_logits(model, *pad_right(rows))
        alone = torch.cat([class_logits(model, *pad_right([row])) for row in rows])
        input_ids, last = pad_right(rows)
        wider = torch.nn.functional.pad(input_ids, (0, 9), value=17)
        other_padding = class_logits(model, wider, last)
    assert together.std(dim=0).min() > 1e-3
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, other_padding, atol=1e-5, rtol=1e-5)


def test_prompts_are_bos_and_the_note_cut_on_the_right(tokenizer_folder: Path) -> None:
    prompts = encoder_prompts(TEXTS, [0, 1, 2, 3, 0, 1], 4, tokenizer_folder, NOTE_TOKENS, PROMPT_CONTEXT)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for text, row in zip(TEXTS, prompts.ids, strict=True):
        assert row.tolist() == tokenizer(text).input_ids[: NOTE_TOKENS + 1]
    assert max(map(len, prompts.ids)) == NOTE_TOKENS + 1
    assert prompts.letter_ids == [0, 1, 2, 3]
    assert prompts.labels.tolist() == [0, 1, 2, 3, 0, 1]


def test_notes_that_do_not_fit_are_an_error(tokenizer_folder: Path) -> None:
    with pytest.raises(
        PromptError, match=r"a note of 41 tokens does not fit .* of 40; lower finetune.note_tokens, now 40"
    ):
        encoder_prompts(TEXTS, [0] * 6, 2, tokenizer_folder, 40, 40)


def test_it_learns_which_notes_hold_a_word(tokenizer_folder: Path, vocab_size: int, tmp_path: Path) -> None:
    # More threads than cores to themselves wait for each other longer than these tensors take.
    torch.set_num_threads(1)
    rng = random.Random(SEED)
    notes = [synthetic_note(rng, 6).replace("fever", "pain") for _ in range(160)]
    labels = [number % 2 for number in range(160)]
    texts = [f"{note} fever {note}" if label else f"{note} {note}" for note, label in zip(notes, labels, strict=True)]
    model = build_encoder(SHAPE, vocab_size, SEED)
    save_model(model, model.state_dict(), tokenizer_folder, tmp_path / "base")
    prompts = encoder_prompts(texts, labels, 2, tokenizer_folder, 100, PROMPT_CONTEXT)
    loss = ClassificationLoss(open_classifier(tmp_path / "base", 2, SEED))
    optimizer = torch.optim.AdamW(loss.parameters(), lr=3e-3)
    input_ids, last = pad_right(prompts.ids)
    targets = torch.from_numpy(prompts.labels)
    for _ in range(25):
        for start in range(0, 120, 24):
            part = slice(start, start + 24)
            optimizer.zero_grad()
            loss(input_ids[part], last[part], targets[part]).backward()
            optimizer.step()
    with torch.no_grad():
        logits = class_logits(loss.model.eval(), input_ids[120:], last[120:])
    probabilities = torch.softmax(logits.double(), dim=-1).numpy()
    assert auroc(np.array(labels[120:]), probabilities).value > 0.95
