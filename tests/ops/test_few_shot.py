from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.few_shot import MIN_NOTE_TOKENS, few_shot
from lang1_assets.ops.prompts import balanced_examples, build_prompts, informative_examples
from lang1_assets.ops.tasks import TASKS
from lang1_assets.ops.tokenizer import encode_batch
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SPLIT_SIZES, synthetic_examples


@pytest.mark.parametrize("task", ["mortality", "length_of_stay"])
@pytest.mark.parametrize("context", [PROMPT_CONTEXT, 400, 1000])
def test_prompts_with_examples_fit_and_show_training_notes_only(
    example_files: dict[str, Path], tokenizer_folder: Path, task: str, context: int
) -> None:
    shown = few_shot(TASKS[task], example_files[task], tokenizer_folder, 60, context, 3, SEED)
    val = pl.read_parquet(example_files[task]).filter(split="val")
    texts, labels = val["text"].to_list(), val["label"].to_list()
    prompts = build_prompts(TASKS[task], texts, labels, tokenizer_folder, shown.note_tokens, context, shown.before)
    (before,) = encode_batch(tokenizer_folder, [shown.before])
    for ids in prompts.ids:
        assert len(ids) <= context
        start = before[: max(0, len(before) - 3)].tolist()
        assert ids[1 : len(start) + 1].tolist() == start
    assert shown.before.count("Answer: ") == shown.shots
    assert shown.shots == 0 or shown.note_tokens >= MIN_NOTE_TOKENS
    assert (context == 1000) <= (shown.shots == 3)
    train = pl.read_parquet(example_files[task]).filter(split="train")["text"].to_list()
    for piece in filter(None, shown.before.split("\n\n")):
        assert any(note.startswith(piece.partition("\nQuestion:")[0]) for note in train)


def test_two_examples_of_two_options_show_both(example_files: dict[str, Path], tokenizer_folder: Path) -> None:
    shown = few_shot(TASKS["mortality"], example_files["mortality"], tokenizer_folder, 60, 2000, 2, SEED)
    assert sorted(line[-1] for line in shown.before.splitlines() if line.startswith("Answer:")) == ["A", "B"]


def test_no_room_and_no_wish_give_the_zero_shot_prompt(example_files: dict[str, Path], tokenizer_folder: Path) -> None:
    for context, shots in ((120, 2), (2000, 0)):
        shown = few_shot(TASKS["mortality"], example_files["mortality"], tokenizer_folder, 40, context, shots, SEED)
        assert (shown.before, shown.shots, shown.note_tokens) == ("", 0, 40)


@given(num=st.integers(1, 60), positives=st.integers(0, 24), seed=st.integers(0, 5))
def test_a_balanced_choice_takes_as_many_of_each_label_as_there_are(
    tmp_path_factory: pytest.TempPathFactory, num: int, positives: int, seed: int
) -> None:
    rows = synthetic_examples("mortality").with_columns(
        label=(pl.int_range(pl.len()).over("split") < positives).cast(pl.Int32)
    )
    file = tmp_path_factory.mktemp("balanced") / "mortality.parquet"
    rows.sample(fraction=1, shuffle=True, seed=seed).write_parquet(file)
    chosen = balanced_examples(file, "val", num, seed)
    size = SPLIT_SIZES["val"]
    expected = min(num, size)
    assert len(chosen) == chosen["note_id"].n_unique() == expected
    assert set(chosen["split"]) == {"val"}
    most = min(positives, size - positives)
    rarer = int(min((chosen["label"] == 1).sum(), (chosen["label"] == 0).sum()))
    assert rarer >= min(most, expected // 2)
    rows.write_parquet(file)
    assert chosen.equals(balanced_examples(file, "val", num, seed))


def test_more_than_two_options_are_taken_as_they_come(example_files: dict[str, Path]) -> None:
    file = example_files["length_of_stay"]
    two = informative_examples(TASKS["mortality"], file, "val", 8, SEED)
    assert two.group_by("label").len()["len"].to_list() == [2] * 4
    as_they_come = informative_examples(TASKS["length_of_stay"], file, "val", 8, SEED)
    assert len(as_they_come) == 8
    assert as_they_come["note_id"].to_list() != two["note_id"].to_list()
