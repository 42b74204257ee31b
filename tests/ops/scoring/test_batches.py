import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.scoring.batches import MIN_SHARED_TOKENS, plan_batches, shared_beginnings


def notes(num: int, questions: int, length: int = 60, seed: int = 0) -> list[np.ndarray]:
    """`questions` prompts about each of `num` notes; notes differ from the first token on."""
    rng = np.random.default_rng(seed)
    made = []
    for note in range(num):
        beginning = np.concatenate(([1, 100 + note], rng.integers(3, 90, length)))
        made += [np.concatenate((beginning, rng.integers(3, 90, 5 + question))) for question in range(questions)]
    return made


@st.composite
def prompts(draw: st.DrawFn) -> list[np.ndarray]:
    """Some that share a beginning of any length, some that are equal, some that stand alone."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    stems = [rng.integers(0, 3, size) for size in draw(st.lists(st.integers(0, 120), min_size=1, max_size=4))]
    ends = draw(st.lists(st.tuples(st.integers(0, len(stems) - 1), st.integers(1, 30)), min_size=0, max_size=30))
    return [np.concatenate((stems[stem], rng.integers(0, 3, size))) for stem, size in ends]


@given(ids=prompts(), batch_tokens=st.integers(1, 400), is_shared=st.booleans())
def test_every_prompt_is_read_once_and_whole(ids: list[np.ndarray], batch_tokens: int, is_shared: bool) -> None:
    batches = plan_batches(ids, batch_tokens, is_shared)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(ids)))
    for batch in batches:
        assert len(batch.owners) == (len(batch.rows) if batch.prefixes else 0)
        befores = [batch.prefixes[owner] for owner in batch.owners] or [np.zeros(0, np.int64)] * len(batch.rows)
        for row, before, rest in zip(batch.rows, befores, batch.rests(ids), strict=True):
            assert len(rest) > 0
            assert np.concatenate((before, rest)).tolist() == ids[row].tolist()
            assert not len(before) or len(before) >= MIN_SHARED_TOKENS
        if not batch.prefixes and len(batch.rows) > 1:
            assert len(batch.rows) * max(len(ids[row]) for row in batch.rows) <= batch_tokens
    assert is_shared or not any(batch.prefixes for batch in batches)


@given(ids=prompts())
def test_sharing_never_reads_more(ids: list[np.ndarray]) -> None:
    groups = shared_beginnings(ids)
    read = sum(group.shared + sum(len(ids[row]) - group.shared for row in group.rows) for group in groups)
    assert read <= sum(map(len, ids))


def test_questions_about_one_note_share_it() -> None:
    groups = shared_beginnings(notes(7, 4))
    assert sorted(len(group.rows) for group in groups) == [4] * 7
    assert all(group.shared >= 62 for group in groups)


def test_few_shot_prompts_share_their_examples() -> None:
    shown = np.random.default_rng(1).integers(3, 90, 200)
    ids = [np.concatenate((shown, row)) for row in notes(9, 1)]
    (group,) = shared_beginnings(ids)
    assert group.shared in (200, 201)
    # More than one batch, and the beginning is one object for all of them: it is read once.
    batches = plan_batches(ids, 150)
    assert len(batches) > 2
    assert len({id(batch.prefixes) for batch in batches}) == 1


def test_a_short_beginning_is_not_worth_it() -> None:
    ids = [np.concatenate(([1, 2, 3], row)) for row in notes(5, 1)]
    assert [group.shared for group in shared_beginnings(ids)] == [0] * 5


def test_little_is_spent_on_padding() -> None:
    rng = np.random.default_rng(4)
    ids = [rng.integers(3, 900, size) for size in rng.integers(50, 600, 300)]
    padded = sum(
        len(batch.rows) * max(len(ids[row]) for row in batch.rows) for batch in plan_batches(ids, batch_tokens=4096)
    )
    assert padded < 1.05 * sum(map(len, ids))


@pytest.mark.parametrize("batch_tokens", [1, 10_000])
def test_the_largest_batch_comes_first(batch_tokens: int) -> None:
    ids = [np.arange(size) + 1000 * size for size in (5, 90, 40)]
    assert plan_batches(ids, batch_tokens)[0].rows[0] == 1


def test_nothing_to_score() -> None:
    assert plan_batches([], 100) == []
