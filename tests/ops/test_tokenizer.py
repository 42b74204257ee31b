from __future__ import annotations

import json
import logging
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import sentencepiece as spm
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from lang1_assets.ops import tokenizer as tokenizers
from lang1_assets.ops.tokenizer import (
    Encoder,
    TokenizerError,
    boundary_ids,
    encode_batch,
    load_tokenizer_folder,
    option_letter_ids,
    train_tokenizer,
)
from tests.outside_data import OUTSIDE, needs_outside_data

PROSE = (
    "patient denies chest pain fever chills admitted with acute heart failure on metoprolol 25 mg twice daily "
    "history of type 2 diabetes mellitus hypertension Creatinine 1.4 Assessment Plan Discharge home stable Blood Data"
)
WORDS = PROSE.split()
VOCAB_SIZE = 600


def synthetic_texts(num_texts: int = 300) -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=40)) + ".\n" for _ in range(num_texts)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(iter(synthetic_texts()), folder, VOCAB_SIZE, seed=1)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> spm.SentencePieceProcessor:
    return spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


def test_the_folder_opens_as_a_llama_style_tokenizer(folder: Path, model: spm.SentencePieceProcessor) -> None:
    opened = AutoTokenizer.from_pretrained(folder)
    assert (
        (opened.unk_token_id, opened.bos_token_id, opened.eos_token_id)
        == (0, 1, 2)
        == (
            model.unk_id(),
            model.bos_id(),
            model.eos_id(),
        )
    )
    assert boundary_ids(folder) == (1, 2)
    assert len(opened) == VOCAB_SIZE
    text = "Patient denies chest pain,\n BP 120/80 \u2265 caf\u00e9."
    assert opened.encode(text) == [1, *model.encode(text)]
    assert opened.decode(model.encode(text)) == text


@given(st.text(st.one_of(st.sampled_from(" \n\u2581<s>/0123456789.,patienschdmorf"), st.characters()), max_size=80))
def test_ids_are_those_of_sentencepiece(folder: Path, model: spm.SentencePieceProcessor, text: str) -> None:
    (ids,) = encode_batch(folder, [text])
    assert ids.tolist() == model.encode(text)
    assert ids.dtype == np.int64
    slow = tokenizers.fast_tokenizer(folder).encode(text, add_special_tokens=False).ids
    assert slow == ids.tolist()


def test_fastokens_takes_the_trained_tokenizer(folder: Path) -> None:
    encoder = Encoder(folder)
    encoder.encode(synthetic_texts(5))
    assert encoder.is_fast


def test_the_same_corpus_and_seed_give_the_same_file(folder: Path, tmp_path: Path) -> None:
    summary = train_tokenizer(iter(synthetic_texts()), tmp_path, VOCAB_SIZE, seed=1)
    assert (tmp_path / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert summary.vocab_size == VOCAB_SIZE
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    ]


def test_a_long_document_is_not_skipped(tmp_path: Path) -> None:
    long = "zygomaticus " * 5_000
    train_tokenizer(iter([*synthetic_texts(), long]), tmp_path, VOCAB_SIZE, seed=1)
    assert len(encode_batch(tmp_path, ["zygomaticus"])[0]) == 1


def test_answer_letters_are_single_tokens_even_if_the_corpus_never_has_them(tmp_path: Path) -> None:
    texts = [text.lower() for text in synthetic_texts()]
    train_tokenizer(iter(texts), tmp_path, 512, seed=1)
    ids = option_letter_ids(AutoTokenizer.from_pretrained(tmp_path), "ABCDE")
    model = spm.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    assert [model.id_to_piece(number) for number in ids] == [f"\u2581{letter}" for letter in "ABCDE"]
    with pytest.raises(TokenizerError, match="option letter 'Q' after 'Answer:' is 2 tokens"):
        option_letter_ids(AutoTokenizer.from_pretrained(tmp_path), "AQ")


def test_letters_that_share_a_token_are_refused(folder: Path) -> None:
    with pytest.raises(TokenizerError, match="share a token"):
        option_letter_ids(AutoTokenizer.from_pretrained(folder), "AA")


def test_a_vocabulary_too_large_for_the_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="could not train 30000 pieces"):
        train_tokenizer(iter(["a few words"]), tmp_path, 30_000, seed=1)


@pytest.mark.parametrize("given_path", ["", "tokenizer.model", "tokenizer.json"])
def test_an_existing_tokenizer_is_copied(folder: Path, tmp_path: Path, given_path: str) -> None:
    load_tokenizer_folder(folder / given_path, tmp_path)
    text = "Assessment and Plan: heart failure"
    assert np.array_equal(encode_batch(tmp_path, [text])[0], encode_batch(folder, [text])[0])
    assert AutoTokenizer.from_pretrained(tmp_path).bos_token_id == 1


def test_a_sentencepiece_model_alone_is_converted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(folder / "tokenizer.model", tmp_path / "in" / "llama.model")
    summary = load_tokenizer_folder(tmp_path / "in" / "llama.model", tmp_path)
    assert summary.sha256 == tokenizers.tokenizer_sha256(folder)


def test_what_cannot_be_used_is_an_error_that_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json or tokenizer\.model"):
        load_tokenizer_folder(tmp_path, tmp_path)
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    (source / "tokenizer.model").write_bytes(b"nonsense")
    with pytest.raises(TokenizerError, match="not a SentencePiece model"):
        load_tokenizer_folder(source, out)
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(synthetic_texts()),
        model_prefix=str(source / "tokenizer"),
        model_type="unigram",
        vocab_size=320,
        byte_fallback=True,
        minloglevel=2,
    )
    with pytest.raises(TokenizerError, match="not a BPE model with Llama's settings"):
        load_tokenizer_folder(source, out)
    shutil.copy(folder / "tokenizer.json", source)
    with pytest.raises(TokenizerError, match="is not the tokenizer of"):
        load_tokenizer_folder(source, out)
    (source / "tokenizer.model").unlink()
    (source / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "<|begin|>"}}))
    with pytest.raises(TokenizerError, match=r"no bos_token '<\|begin\|>'"):
        load_tokenizer_folder(source, out)


def test_a_tokenizer_that_fastokens_reads_otherwise_is_encoded_by_tokenizers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Other:
        """Right on the probes, wrong on a text of the corpus."""

        def __init__(self, right: object) -> None:
            self._right = right

        def encode_batch_flat(self, texts: list[str], split_special_tokens: bool) -> tuple[bytes, bytes]:
            return self._right.encode_batch_flat(
                [text.replace("fever", "chills") for text in texts], split_special_tokens=True
            )

    right = tokenizers.fastokens.Tokenizer.from_file(str(folder / "tokenizer.json"))
    monkeypatch.setattr(Encoder, "_open_fast", staticmethod(lambda folder: Other(right)))
    encoder = Encoder(folder)
    assert encoder.is_fast
    with caplog.at_level(logging.WARNING):
        flat, offsets = encoder.encode(["chest pain", "fever fever"])
    assert not encoder.is_fast
    assert "gives other ids" in caplog.text
    assert "fever" not in caplog.text
    assert np.array_equal(flat[offsets[1] :], encode_batch(folder, ["fever fever"])[0])


def test_a_tokenizer_that_fastokens_refuses_is_encoded_by_tokenizers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "fever": 2, "<unk>": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    with caplog.at_level(logging.WARNING):
        ids = encode_batch(tmp_path, ["fever chills", "", "fever"])
    assert [row.tolist() for row in ids] == [[2, 3], [], [2]]
    assert "does not take this tokenizer" in caplog.text


@needs_outside_data
def test_llama_2_own_tokenizer(tmp_path: Path) -> None:
    source = OUTSIDE / "llama2-tokenizer"
    load_tokenizer_folder(source, tmp_path)
    (converted := tmp_path / "converted").mkdir()
    shutil.copy(source / "tokenizer.model", tmp_path / "llama.model")
    load_tokenizer_folder(tmp_path / "llama.model", converted)
    assert option_letter_ids(AutoTokenizer.from_pretrained(tmp_path), "ABCDE") == [319, 350, 315, 360, 382]
    texts = synthetic_texts(20)
    for ours, theirs in zip(encode_batch(tmp_path, texts), encode_batch(converted, texts), strict=True):
        assert np.array_equal(ours, theirs)
