"""The tokenizer: Llama-style SentencePiece with byte fallback, trained on the corpus or taken from a path (paper 5.3, M06).

A tokenizer is a Hugging Face folder (`tokenizer.json`, `tokenizer_config.json`, and `tokenizer.model` where there is one).
Text is encoded by fastokens, several times as fast as the `tokenizers` library, behind a check that the ids are the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import fastokens
import numpy as np
import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

logger = logging.getLogger(__name__)

SPACE = "\u2581"
# The letters that answer a question, as the pieces they are after "Answer:".
LETTER_PIECES = tuple(f"{SPACE}{letter}" for letter in "ABCDE")
CHECKED_TEXTS = 64
MAX_SENTENCE_BYTES = 16_384


class TokenizerError(ValueError):
    """A tokenizer that cannot be used here; the message says what is wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class TokenizerSummary:
    vocab_size: int
    sha256: str


def train_tokenizer(texts: Iterator[str], folder: Path, vocab_size: int, seed: int) -> TokenizerSummary:
    """Train SentencePiece BPE with Llama-2's settings and write it as a Hugging Face folder.

    Raises:
        TokenizerError: the corpus is too small for so large a vocabulary.
    """
    prefix = folder / "trained"
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=(text for text in texts if text),
            model_prefix=str(prefix),
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            character_coverage=0.99995,
            split_digits=True,
            add_dummy_prefix=True,
            remove_extra_whitespaces=False,
            normalization_rule_name="identity",
            allow_whitespace_only_pieces=True,
            max_sentence_length=MAX_SENTENCE_BYTES,
            # One thread: with more, equal merges are ordered by chance.
            num_threads=1,
            random_seed=seed,
            minloglevel=2,
            # Whatever the corpus, each answer letter after a space is one piece.
            required_chars="ABCDE",
        )
    except RuntimeError as error:
        raise TokenizerError(
            f"SentencePiece could not train {vocab_size} pieces on this corpus ({str(error).splitlines()[0][:200]}); lower "
            "tokenizer.vocab_size or raise tokenizer.train_documents"
        ) from None
    (folder / "trained.vocab").unlink()
    (folder / "trained.model").rename(folder / "tokenizer.model")
    write_from_sentencepiece(folder / "tokenizer.model", folder)
    return summarize(folder)


def load_tokenizer_folder(path: Path, folder: Path) -> TokenizerSummary:
    """Copy an existing tokenizer: a folder, a `tokenizer.json`, or a SentencePiece `tokenizer.model`.

    Raises:
        TokenizerError: nothing usable is there.
    """
    base = path if path.is_dir() else path.parent
    model, fast = base / "tokenizer.model", base / "tokenizer.json"
    if path.is_file():
        model, fast = (path, fast) if path.suffix == ".model" else (model, path)
    if not model.exists() and not fast.exists():
        raise TokenizerError(f"{path}: no tokenizer.json or tokenizer.model there; give a folder or file that has one")
    if model.exists():
        shutil.copyfile(model, folder / "tokenizer.model")
    if fast.exists():
        shutil.copyfile(fast, folder / "tokenizer.json")
        write_config(folder)
    else:
        write_from_sentencepiece(folder / "tokenizer.model", folder)
    return summarize(folder)


def write_from_sentencepiece(model_file: Path, folder: Path) -> None:
    """`tokenizer.json` with the same pieces, merges and byte fallback as a SentencePiece BPE model."""
    model = proto.ModelProto()
    try:
        model.ParseFromString(model_file.read_bytes())
    except Exception:
        raise TokenizerError(f"{model_file}: not a SentencePiece model") from None
    vocab = {piece.piece: number for number, piece in enumerate(model.pieces)}
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == proto.ModelProto.SentencePiece.NORMAL}
    built = Tokenizer(models.BPE(vocab, merges_of(scores, vocab), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    built.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    built.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    built.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    bos = vocab["<s>"]
    built.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    built.save(str(folder / "tokenizer.json"))
    write_config(folder)


def merges_of(scores: dict[str, float], vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to make a piece of two others, best pieces first: what SentencePiece does by score."""
    found = []
    for piece, score in scores.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in vocab and right in vocab:
                found.append((-score, vocab[left], vocab[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def write_config(folder: Path) -> None:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 10**9,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))


def summarize(folder: Path) -> TokenizerSummary:
    return TokenizerSummary(vocab_size=fast_tokenizer(folder).get_vocab_size(), sha256=tokenizer_sha256(folder))


def tokenizer_sha256(folder: Path) -> str:
    """Hash of `tokenizer.json`: what shards are bound to."""
    return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()


def fast_tokenizer(folder: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise TokenizerError(f"{folder / 'tokenizer.json'}: not readable ({error})") from None


def encode_batch(folder: Path, texts: Sequence[str]) -> list[np.ndarray]:
    """Token ids of each text, int64, without BOS or EOS."""
    if not texts:
        return []
    encoder = _encoder(str(folder), tokenizer_sha256(folder))
    return encoder.encode(list(texts))


class Encoder:
    """fastokens where it gives the same ids as `tokenizers` on a sample of the first texts it meets, else `tokenizers`."""

    def __init__(self, folder: Path) -> None:
        self._slow = fast_tokenizer(folder)
        self._fast = self._open_fast(folder)
        self._is_checked = False

    @staticmethod
    def _open_fast(folder: Path) -> Any | None:
        try:
            return fastokens.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            logger.warning("fastokens does not take this tokenizer (%s): encoding with tokenizers", error)
            return None

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        if self._fast is not None and not self._is_checked:
            self._check(texts[:: max(1, len(texts) // CHECKED_TEXTS)])
        if self._fast is None:
            return self._encode_slow(texts)
        ids, offsets = self._fast.encode_batch_flat(texts, split_special_tokens=True)
        flat = np.frombuffer(ids, dtype="<u4").astype(np.int64)
        return np.split(flat, np.frombuffer(offsets, dtype="<u8")[1:-1].astype(np.int64))

    def _encode_slow(self, texts: list[str]) -> list[np.ndarray]:
        encoded = self._slow.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(item.ids, dtype=np.int64) for item in encoded]

    def _check(self, sample: list[str]) -> None:
        fast, self._fast = self._fast, None
        slow = self._encode_slow(sample)
        ids, offsets = fast.encode_batch_flat(sample, split_special_tokens=True)
        flat = np.frombuffer(ids, dtype="<u4").astype(np.int64)
        quick = np.split(flat, np.frombuffer(offsets, dtype="<u8")[1:-1].astype(np.int64))
        if all(np.array_equal(a, b) for a, b in zip(slow, quick, strict=True)):
            self._fast = fast
        else:
            logger.warning("fastokens gives other ids for this tokenizer: encoding with tokenizers")
        self._is_checked = True


@lru_cache(maxsize=4)
def _encoder(folder: str, sha256: str) -> Encoder:
    return Encoder(Path(folder))


def option_letter_ids(tokenizer: Any, letters: Sequence[str]) -> list[int]:
    """The id of each option letter as the token that follows `Answer:`.

    Raises:
        TokenizerError: a letter there is not one token, or joins with what is before it.
    """
    prefix = "Options\nAnswer:"
    before = tokenizer.encode(prefix, add_special_tokens=False)
    found = []
    for letter in letters:
        ids = tokenizer.encode(f"{prefix} {letter}", add_special_tokens=False)
        if len(ids) != len(before) + 1 or ids[: len(before)] != before:
            raise TokenizerError(
                f"option letter '{letter}' after 'Answer:' is {len(ids) - len(before)} tokens, not one, in this tokenizer; "
                f"use one that has '{SPACE}{letter}' as a piece (Llama-2's has), or train one (tokenizer.kind: train)"
            )
        found.append(ids[-1])
    if len(set(found)) != len(found):
        raise TokenizerError(f"option letters {', '.join(letters)} share a token in this tokenizer; use another one")
    return found
