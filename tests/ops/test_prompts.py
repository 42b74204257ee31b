import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

from lang1_assets.ops.prompts import PromptError, build_prompts, cut_notes, read_examples
from lang1_assets.ops.tasks import TASKS, Task
from lang1_assets.ops.tokenizer import TokenizerError, encode_batch, write_config
from tests.ops.conftest import PROMPT_CONTEXT, SEED, synthetic_examples, synthetic_note

NOTE_TOKENS = 20


def notes(num_words: list[int]) -> list[str]:
    rng = random.Random(SEED)
    return [synthetic_note(rng, words) for words in num_words]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_the_question_is_whole_and_the_note_keeps_its_first_tokens(tokenizer_folder: Path, task: Task) -> None:
    texts = notes([3, 200, 40])
    prompts = build_prompts(task, texts, [0, 1, 0], tokenizer_folder, NOTE_TOKENS, 200)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    for text, ids in zip(texts, prompts.ids, strict=True):
        assert ids[0] == tokenizer.bos_token_id
        shown, _, question = tokenizer.decode(ids[1:].tolist()).partition("\n")
        assert question == task.question_block
        first = encode_batch(tokenizer_folder, [text])[0][:NOTE_TOKENS]
        assert ids[1 : 1 + len(first)].tolist() == first.tolist()
        assert shown == tokenizer.decode(first.tolist())
    assert prompts.labels.tolist() == [0, 1, 0]


def test_the_letters_are_the_tokens_that_follow_the_prompt(tokenizer_folder: Path) -> None:
    task = TASKS["comorbidity"]
    prompts = build_prompts(task, notes([4]), [2], tokenizer_folder, NOTE_TOKENS, 200)
    text = f"{notes([4])[0]}\n{task.question_block}"
    for letter, letter_id in zip("ABCDE", prompts.letter_ids, strict=True):
        answered = encode_batch(tokenizer_folder, [f"{text} {letter}"])[0]
        assert answered.tolist() == [*prompts.ids[0][1:].tolist(), letter_id]


def test_cutting_gives_a_prefix_and_leaves_short_notes_alone(tokenizer_folder: Path) -> None:
    texts = notes([1, 2, 5, *range(20, 60)])
    texts.append("  two  spaces in a row, and 120/80  mmHg at the end of the note, which is long enough to be cut  ")
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    lengths = [len(ids) for ids in encode_batch(tokenizer_folder, texts)]
    for text, cut, length in zip(
        texts, cut_notes(texts, tokenizer_folder, tokenizer, NOTE_TOKENS), lengths, strict=True
    ):
        assert text.startswith(cut)
        assert (cut == text) == (length <= NOTE_TOKENS)
        assert len(encode_batch(tokenizer_folder, [cut])[0]) == min(length, NOTE_TOKENS)


def test_a_note_of_exactly_the_limit_is_not_cut(tokenizer_folder: Path) -> None:
    text = notes([30])[0]
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    length = len(encode_batch(tokenizer_folder, [text])[0])
    assert cut_notes([text], tokenizer_folder, tokenizer, length) == [text]
    assert cut_notes([text], tokenizer_folder, tokenizer, length - 1) != [text]


def test_a_prompt_that_does_not_fit_says_by_how_much(tokenizer_folder: Path) -> None:
    texts = notes([100])
    task = TASKS["mortality"]
    longest = len(build_prompts(task, texts, [0], tokenizer_folder, NOTE_TOKENS, 1000).ids[0])
    assert build_prompts(task, texts, [0], tokenizer_folder, NOTE_TOKENS, longest).ids
    with pytest.raises(
        PromptError, match=r"mortality: .*note_tokens \(finetune.note_tokens, now 20\) by at least 3"
    ) as caught:
        build_prompts(task, texts, [0], tokenizer_folder, NOTE_TOKENS, longest - 3)
    assert texts[0][:30] not in str(caught.value)


def test_letters_that_are_not_single_tokens_are_refused(tmp_path: Path) -> None:
    """A tokenizer of bytes: ' A' is two tokens there."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_config(tmp_path)
    with pytest.raises(TokenizerError, match="option letter 'A'"):
        build_prompts(TASKS["mortality"], notes([3]), [0], tmp_path, NOTE_TOKENS, 10_000)


def test_no_note_gives_an_empty_set(tokenizer_folder: Path) -> None:
    prompts = build_prompts(TASKS["mortality"], [], [], tokenizer_folder, NOTE_TOKENS, PROMPT_CONTEXT)
    assert prompts.ids == []
    assert prompts.labels.shape == (0,)


def test_the_choice_of_examples_does_not_depend_on_their_order(tmp_path: Path) -> None:
    examples = synthetic_examples("mortality")
    in_order, shuffled = tmp_path / "in_order.parquet", tmp_path / "shuffled.parquet"
    examples.write_parquet(in_order)
    examples.sample(fraction=1, shuffle=True, seed=5).write_parquet(shuffled)
    chosen = read_examples(in_order, "train", 10, SEED)
    assert len(chosen) == 10
    assert chosen.equals(read_examples(shuffled, "train", 10, SEED))
    assert set(chosen["split"]) == {"train"}
    assert chosen.columns == examples.columns
    # Not the first ones: a file in order of time would give the oldest notes.
    assert chosen["note_id"].to_list() != [f"mo-train-{number:03d}" for number in range(10)]
    # A smaller choice is part of a larger one, and another seed chooses others.
    assert set(read_examples(in_order, "train", 5, SEED)["note_id"]) < set(chosen["note_id"])
    assert set(read_examples(in_order, "train", 10, SEED + 1)["note_id"]) != set(chosen["note_id"])


def test_fewer_examples_than_asked_for_are_all_there(tmp_path: Path) -> None:
    synthetic_examples("mortality").sample(fraction=1, shuffle=True, seed=5).write_parquet(
        tmp_path / "examples.parquet"
    )
    rows = read_examples(tmp_path / "examples.parquet", "val", 1000, SEED)
    assert rows["note_id"].to_list() == [f"mo-val-{number:03d}" for number in range(24)]
    assert read_examples(tmp_path / "examples.parquet", "no such split", 10, SEED).is_empty()
