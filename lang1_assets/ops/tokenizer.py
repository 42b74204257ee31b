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
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

logger = logging.getLogger(__name__)

SPACE = "\u2581"
LETTERS = "ABCDE"
ASCII = "".join(map(chr, range(0x21, 0x7F)))
LETTER_EXAMPLES = 2_000
MAX_LINE_CHARACTERS = 4_000
CHECKED_TEXTS = 64
PROBES = (
    "",
    "  Two  spaces, a\ttab\nand a line. ",
    "BP 120/80, HR 72, 38.2 \u00b0C; caf\u00e9 \u4e2d\u6587 \U0001f600 \x00",
    "Answer: A <s> </s> <unk> <0x0A> \u2581",
    "metoprolol 12.5mg PO BID x30d aaaaaaa --- ...",
)
"""Texts on which two readings of one tokenizer would part: spaces, newlines, bytes, digits, literal special tokens."""


class TokenizerError(ValueError):
    """A tokenizer that cannot be used here; the message says what is wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class TokenizerSummary:
    vocab_size: int
    sha256: str


def train_tokenizer(texts: Iterator[str], folder: Path, vocab_size: int, seed: int) -> TokenizerSummary:
    """Train SentencePiece BPE with Llama-2's settings and write it as a Hugging Face folder.

    Raises:
        TokenizerError: the corpus is too small for so large a vocabulary, or the vocabulary for the answer letters.
    """
    prefix = folder / "trained"
    spm.set_random_generator_seed(seed)
    try:
        spm.SentencePieceTrainer.train(
            sentence_iterator=training_lines(texts),
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
            max_sentence_length=4 * MAX_LINE_CHARACTERS,
            # One thread: with more, equal merges are ordered by chance.
            num_threads=1,
            minloglevel=2,
            # Clean notes are plain ASCII: none of it is spelled in bytes, however rare.
            required_chars=ASCII,
        )
    except RuntimeError as error:
        raise TokenizerError(
            f"SentencePiece could not train {vocab_size} pieces on this corpus ({str(error).splitlines()[0][:200]}); change "
            "tokenizer.vocab_size, or raise tokenizer.train_documents"
        ) from None
    (folder / "trained.vocab").unlink()
    (folder / "trained.model").rename(folder / "tokenizer.model")
    write_from_sentencepiece(folder / "tokenizer.model", folder)
    option_letter_ids(fast_tokenizer(folder), LETTERS)
    return summarize(folder)


def training_lines(texts: Iterator[str]) -> Iterator[str]:
    """The corpus in lines short enough that SentencePiece skips none, and the answer letters often enough to be pieces."""
    for text in texts:
        for line in text.splitlines():
            for start in range(0, len(line), MAX_LINE_CHARACTERS):
                yield line[start : start + MAX_LINE_CHARACTERS]
    yield from [" ".join(LETTERS)] * LETTER_EXAMPLES


def load_tokenizer_folder(path: Path, folder: Path) -> TokenizerSummary:
    """Copy an existing tokenizer: a folder, a `tokenizer.json`, or a SentencePiece `tokenizer.model`.

    Raises:
        TokenizerError: nothing usable is there, or the two files there are not the same tokenizer.
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
        write_config(folder, **special_tokens(base / "tokenizer_config.json"))
    else:
        write_from_sentencepiece(folder / "tokenizer.model", folder)
    if model.exists() and fast.exists():
        check_same(folder, f"{fast} is not the tokenizer of {model}; leave one of them out")
    boundary_ids(folder)
    return summarize(folder)


def write_from_sentencepiece(model_file: Path, folder: Path) -> None:
    """`tokenizer.json` with the same pieces, merges and byte fallback as a SentencePiece BPE model."""
    model = open_sentencepiece(model_file)
    pieces = range(model.get_piece_size())
    vocab = {model.id_to_piece(number): number for number in pieces}
    scores = {
        model.id_to_piece(number): model.get_score(number)
        for number in pieces
        if not (model.is_byte(number) or model.is_control(number) or model.is_unknown(number))
    }
    if not {"<unk>", "<s>", "</s>"} <= set(vocab):
        raise TokenizerError(f"{model_file}: lacks <unk>, <s> or </s>; use a Llama-style model")
    built = Tokenizer(models.BPE(vocab, merges_of(scores, vocab), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    built.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
    built.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    built.add_special_tokens([AddedToken(token, normalized=False) for token in ("<unk>", "<s>", "</s>")])
    built.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocab["<s>"])]
    )
    built.save(str(folder / "tokenizer.json"))
    write_config(folder)
    check_same(folder, f"{model_file} is not a BPE model with Llama's settings; give its tokenizer.json instead")


def open_sentencepiece(path: Path) -> spm.SentencePieceProcessor:
    try:
        return spm.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError):
        raise TokenizerError(f"{path}: not a SentencePiece model") from None


def merges_of(scores: dict[str, float], vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to make a piece of two others, best pieces first: what SentencePiece does by score."""
    found = []
    for piece, score in scores.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in scores and right in scores:
                found.append((-score, vocab[left], vocab[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]


def check_same(folder: Path, problem: str) -> None:
    """Both files of a folder must read the probes alike."""
    model, fast = open_sentencepiece(folder / "tokenizer.model"), fast_tokenizer(folder)
    for probe in PROBES:
        if fast.encode(probe, add_special_tokens=False).ids != model.encode(probe):
            raise TokenizerError(problem)


def special_tokens(config_file: Path) -> dict[str, str]:
    """Names of BOS, EOS and UNK in somebody's `tokenizer_config.json`, where it gives them."""
    if not config_file.exists():
        return {}
    config = json.loads(config_file.read_text())
    held = {name: config.get(f"{name}_token") for name in ("bos", "eos", "unk")}
    named = {name: token.get("content") if isinstance(token, dict) else token for name, token in held.items()}
    return {name: token for name, token in named.items() if isinstance(token, str)}


def write_config(folder: Path, *, bos: str = "<s>", eos: str = "</s>", unk: str = "<unk>") -> None:
    config = {
        # Whatever the file says, and nothing that a class of its own would add.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": bos,
        "eos_token": eos,
        "unk_token": unk,
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
    """The `tokenizers` reading of a folder; a literal `<s>` in a text is text, never a control token."""
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise TokenizerError(f"{folder / 'tokenizer.json'}: not readable ({error})") from None
    tokenizer.encode_special_tokens = True
    return tokenizer


def open_tokenizer(folder: Path) -> Any:
    """As `transformers` reads the folder: nothing in it is run."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def boundary_ids(folder: Path) -> tuple[int, int]:
    """Ids of BOS and EOS.

    Raises:
        TokenizerError: the vocabulary has no such token.
    """
    names = special_tokens(folder / "tokenizer_config.json")
    tokenizer = fast_tokenizer(folder)
    ids = []
    for name in ("bos", "eos"):
        found = tokenizer.token_to_id(names.get(name, ""))
        if found is None:
            raise TokenizerError(
                f"{folder}: the vocabulary has no {name}_token {names.get(name)!r}; put a tokenizer_config.json that names "
                "it beside the tokenizer"
            )
        ids.append(found)
    return ids[0], ids[1]


def encode_batch(folder: Path, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Token ids of each text, int64, without BOS or EOS."""
    if not texts:
        return []
    flat, offsets = encode_flat(folder, texts)
    return np.split(flat.astype(np.int64), offsets[1:-1])


def encode_from_start(folder: Path, texts: Sequence[str], bos_id: int | None) -> list[NDArray[np.int64]]:
    """As `encode_batch`, behind BOS; with None the text is the start, as for models such as Qwen's that know no such token."""
    start = np.array([] if bos_id is None else [bos_id], dtype=np.int64)
    return [np.concatenate((start, ids)) for ids in encode_batch(folder, texts)]


def encode_flat(folder: Path, texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Ids of all texts in a row, and (len(texts) + 1,) offsets: text i is `ids[offsets[i] : offsets[i + 1]]`."""
    stat = (folder / "tokenizer.json").stat()
    return _encoder(str(folder), stat.st_mtime_ns, stat.st_size).encode(list(texts))


class Encoder:
    """fastokens while it gives the same ids as `tokenizers` on probes and on the first texts met, else `tokenizers`."""

    def __init__(self, folder: Path) -> None:
        self._slow = fast_tokenizer(folder)
        self._fast = self._open_fast(folder)
        self._left_to_check = CHECKED_TEXTS
        self._check(list(PROBES))

    @property
    def is_fast(self) -> bool:
        return self._fast is not None

    @staticmethod
    def _open_fast(folder: Path) -> Any | None:
        try:
            return fastokens.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:
            logger.warning("fastokens does not take this tokenizer (%s): encoding with tokenizers", error)
            return None

    def encode(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        if self.is_fast and self._left_to_check > 0:
            sample = texts[:: -(-len(texts) // self._left_to_check)]
            self._left_to_check -= len(sample)
            self._check(sample)
        return self._encode_fast(texts) if self.is_fast else self._encode_slow(texts)

    def _encode_fast(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        assert self._fast is not None
        ids, offsets = self._fast.encode_batch_flat(texts, split_special_tokens=True)
        return np.frombuffer(ids, dtype="<u4"), np.frombuffer(offsets, dtype="<u8").astype(np.int64)

    def _encode_slow(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        rows = [item.ids for item in self._slow.encode_batch_fast(texts, add_special_tokens=False)]
        flat = np.fromiter((token for row in rows for token in row), dtype=np.uint32)
        return flat, np.cumsum([0, *map(len, rows)], dtype=np.int64)

    def _check(self, sample: list[str]) -> None:
        if not self.is_fast:
            return
        (slow, slow_offsets), (fast, fast_offsets) = self._encode_slow(sample), self._encode_fast(sample)
        if not (np.array_equal(slow, fast) and np.array_equal(slow_offsets, fast_offsets)):
            logger.warning("fastokens gives other ids for this tokenizer: encoding with tokenizers")
            self._fast = None


@lru_cache(maxsize=4)
def _encoder(folder: str, modified: int, num_bytes: int) -> Encoder:
    """One a tokenizer file; the file's time and size are in the key because folders are rewritten in place."""
    return Encoder(Path(folder))


def option_letter_ids(tokenizer: Any, letters: Sequence[str]) -> list[int]:
    """The id of each option letter as the token that follows `Answer:`.

    Args:
        tokenizer: of `transformers` or `tokenizers`.

    Raises:
        TokenizerError: a letter there is not one token, or joins with what is before it.
    """

    def encode(text: str) -> list[int]:
        encoded = tokenizer.encode(text, add_special_tokens=False)
        return list(getattr(encoded, "ids", encoded))

    prefix = "Options\nAnswer:"
    before = encode(prefix)
    found = []
    for letter in letters:
        ids = encode(f"{prefix} {letter}")
        if len(ids) != len(before) + 1 or ids[: len(before)] != before:
            raise TokenizerError(
                f"option letter '{letter}' after 'Answer:' is {len(ids) - len(before)} tokens, not one, in this tokenizer; "
                f"use one that has '{SPACE}{letter}' as a piece (Llama-2's has), or train one (tokenizer.kind: train)"
            )
        found.append(ids[-1])
    if len(set(found)) != len(found):
        raise TokenizerError(f"option letters {', '.join(letters)} share a token in this tokenizer; use another one")
    return found
