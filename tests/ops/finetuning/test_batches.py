"""What a batch holds: every task equally, every example once an epoch, the same for any number of ranks."""

import math
from collections import Counter

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.finetuning.batches import JointBatches
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.training.world import World
from tests.ops.conftest import SEED


def prompt_sets(sizes: list[int]) -> dict[str, PromptSet]:
    """Example i of task t has 1 + i % 3 tokens; its first token tells task and example."""
    return {
        f"task {task}": PromptSet(
            ids=[np.array([100 * task + i] * (1 + i % 3)) for i in range(size)],
            letter_ids=[1000 + 10 * task, 1001 + 10 * task],
            labels=np.arange(size) % 2,
        )
        for task, size in enumerate(sizes)
    }


def joint(prompts: dict[str, PromptSet], size: int, seed: int) -> JointBatches:
    return JointBatches(prompts, {task: held.letter_ids for task, held in prompts.items()}, size, seed)


def rank(number: int, size: int) -> World:
    return World(rank=number, size=size, device=torch.device("cpu"))


sizes = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@given(sizes, st.integers(1, 4), st.integers(0, 50))
def test_a_batch_holds_every_task_equally(sizes: list[int], each: int, step: int) -> None:
    batches = joint(prompt_sets(sizes), each * len(sizes), SEED)
    assert Counter(task for task, _ in batches.rows(step)) == {task: each for task in range(len(sizes))}


@given(sizes, st.integers(1, 20))
def test_every_example_comes_once_an_epoch_in_another_order(sizes: list[int], batch_size: int) -> None:
    """Also where the batch does not divide by the tasks: no task is ever more than one ahead."""
    batches = joint(prompt_sets(sizes), batch_size, SEED)
    steps = math.ceil(3 * max(sizes) * len(sizes) / batch_size)
    drawn = [row for step in range(steps) for row in batches.rows(step)]
    for task, size in enumerate(sizes):
        examples = [example for which, example in drawn if which == task]
        for epoch in range(3):
            assert sorted(examples[epoch * size : (epoch + 1) * size]) == list(range(size))
    counts = Counter(task for task, _ in drawn)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_epochs_and_tasks_and_seeds_have_orders_of_their_own() -> None:
    def order(seed: int, task: int, epoch: int) -> list[int]:
        rows = joint(prompt_sets([20, 20]), 40, seed).rows(epoch)
        return [example for which, example in rows if which == task]

    orders = [order(seed, task, epoch) for seed in (1, 2) for task in (0, 1) for epoch in (0, 1)]
    assert len(set(map(tuple, orders))) == len(orders)


@given(sizes, st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 20))
def test_the_ranks_together_hold_the_global_batch(
    sizes: list[int], micro: int, num_ranks: int, accumulation: int, step: int
) -> None:
    prompts = prompt_sets(sizes)
    size = micro * num_ranks * accumulation
    expected = [100 * task + i for task, i in joint(prompts, size, SEED).rows(step)]
    found = []
    for micro_step in range(accumulation):
        for number in range(num_ranks):
            # Each rank has batches of its own, and has drawn other steps before or has just resumed.
            batches = joint(prompts, size, SEED)
            batches.rows(number)
            input_ids, last, answers = batches.micro_batch(step, micro_step, micro, rank(number, num_ranks))
            for ids, end, answer in zip(input_ids, last, answers, strict=True):
                task, i = divmod(int(ids[0]), 100)
                assert ids[: end + 1].tolist() == prompts[f"task {task}"].ids[i].tolist()
                assert answer == 1000 + 10 * task + i % 2
                found.append(int(ids[0]))
    assert found == expected


@given(sizes, st.integers(1, 20), st.integers(0, 20))
def test_tokens_are_counted_without_padding(sizes: list[int], batch_size: int, step: int) -> None:
    prompts = prompt_sets(sizes)
    batches = joint(prompts, batch_size, SEED)
    _, last, _ = batches.micro_batch(step, 0, batch_size, rank(0, 1))
    assert batches.num_tokens(step) == int((last + 1).sum())
