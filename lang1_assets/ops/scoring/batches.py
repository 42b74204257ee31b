"""Which prompts go through the model together: like lengths share a batch, and what several prompts begin with is read once.

Few-shot prompts of a task begin with the same examples; the questions of several tasks about one note begin with the note.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MIN_SHARED_TOKENS = 32
"""A shorter common beginning costs more to look after than to read again."""

Ids = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Prompts of one forward pass."""

    rows: list[int]
    """Which prompts."""
    prefixes: tuple[Ids, ...] = ()
    """What they begin with; empty when nothing is shared. Batches that share one have the same tuple."""
    owners: tuple[int, ...] = ()
    """Which of `prefixes` each row begins with."""

    def rests(self, ids: Sequence[Ids]) -> list[Ids]:
        """What each row has beyond its prefix."""
        if not self.prefixes:
            return [ids[row] for row in self.rows]
        return [ids[row][len(self.prefixes[owner]) :] for row, owner in zip(self.rows, self.owners, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Prompts with a common beginning."""

    rows: list[int]
    shared: int
    """Tokens that all of them begin with, fewer than any of them has; 0 for a prompt that stands alone."""
    longest: int
    """Tokens of the longest."""

    @property
    def rest(self) -> int:
        return self.longest - self.shared


def plan_batches(ids: Sequence[Ids], batch_tokens: int, is_shared: bool = True) -> list[Batch]:
    """Batches that hold every prompt once, the largest first: what does not fit in memory fails at once.

    Args:
        ids: token ids of each prompt.
        batch_tokens: tokens of a batch, padding included; a prompt that is longer goes alone.
        is_shared: whether common beginnings are read once.
    """
    groups = (
        shared_beginnings(ids)
        if is_shared
        else [Group(rows=[row], shared=0, longest=len(ids[row])) for row in range(len(ids))]
    )
    alone = [group.rows[0] for group in groups if not group.shared]
    wide = [group for group in groups if group.shared and len(group.rows) * group.rest > batch_tokens]
    narrow = [group for group in groups if group.shared and len(group.rows) * group.rest <= batch_tokens]
    batches = [Batch(rows=rows) for rows in by_length(alone, [len(ids[row]) for row in alone], batch_tokens)]
    for group in wide:
        prefixes = (ids[group.rows[0]][: group.shared],)
        lengths = [len(ids[row]) - group.shared for row in group.rows]
        for rows in by_length(group.rows, lengths, batch_tokens):
            batches.append(Batch(rows=rows, prefixes=prefixes, owners=(0,) * len(rows)))
    return batches + [_of_groups(held, ids) for held in packed(narrow, batch_tokens)]


def shared_beginnings(ids: Sequence[Ids]) -> list[Group]:
    """Every prompt in one group; a group grows as long as it saves more tokens."""
    # Big-endian: bytes are then ordered as the ids are, and prompts with a common beginning are neighbors.
    order = sorted(range(len(ids)), key=lambda row: ids[row].astype(">u4").tobytes())
    groups: list[Group] = []
    held: list[int] = []
    shared = 0
    for row in order:
        common = min(_common(ids[held[0]], ids[row]), shared or len(ids[held[0]]) - 1, len(ids[row]) - 1) if held else 0
        if held and common >= MIN_SHARED_TOKENS and common * len(held) >= shared * (len(held) - 1):
            held, shared = [*held, row], common
            continue
        groups += _closed(held, shared, ids)
        held, shared = [row], 0
    return groups + _closed(held, shared, ids)


def _closed(rows: list[int], shared: int, ids: Sequence[Ids]) -> list[Group]:
    return [Group(rows=rows, shared=shared, longest=max(len(ids[row]) for row in rows))] if rows else []


def _common(first: Ids, second: Ids) -> int:
    """How many ids two prompts have in common at their beginning."""
    size = min(len(first), len(second))
    differs = first[:size] != second[:size]
    return int(differs.argmax()) if differs.any() else size


def by_length(rows: Sequence[int], lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of like length, longest first, as many as fit with their padding."""
    held: list[int] = []
    width = 0
    for place in sorted(range(len(rows)), key=lambda place: -lengths[place]):
        if held and (len(held) + 1) * width > batch_tokens:
            yield held
            held = []
        width = width if held else lengths[place]
        held.append(rows[place])
    if held:
        yield held


def packed(groups: Sequence[Group], batch_tokens: int) -> Iterator[list[Group]]:
    """Groups of like length, as many as fit with their padding."""
    held: list[Group] = []
    for group in sorted(groups, key=lambda group: -group.shared):
        if held and _padded([*held, group]) > batch_tokens:
            yield held
            held = []
        held.append(group)
    if held:
        yield held


def _padded(groups: Sequence[Group]) -> int:
    rows = sum(len(group.rows) for group in groups)
    return len(groups) * max(group.shared for group in groups) + rows * max(group.rest for group in groups)


def _of_groups(groups: Sequence[Group], ids: Sequence[Ids]) -> Batch:
    return Batch(
        rows=[row for group in groups for row in group.rows],
        prefixes=tuple(ids[group.rows[0]][: group.shared] for group in groups),
        owners=tuple(number for number, group in enumerate(groups) for _ in group.rows),
    )
