"""Few-shot prompts in the harness, letter for letter those of `ops.few_shot`: balanced, seeded, cut so that they fit.

The caller of the harness says how many examples (`--num_fewshot`). The folder says the seed and the context that the prompts
must fit; `--metadata '{"fewshot_seed": 5, "context_length": 4096}'` says otherwise, and `max_length` of the model arguments
counts as the context.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
from lm_eval.api.samplers import ContextSampler
from lm_eval.api.task import ConfigurableTask
from transformers import AutoTokenizer

from lang1_assets.ops.few_shot import Room, room_for
from lang1_assets.ops.harness.reading import TOKENIZER_FOLDER, read_ids
from lang1_assets.ops.prompts import balanced, in_seeded_order

logger = logging.getLogger(__name__)


class BalancedSampler(ContextSampler):
    """The same examples for every note: as many of each label as there are up to equal shares, in a seeded order."""

    seed = 0

    def sample(self, n: int, eval_doc: Any = None, df: Any = None, **kwargs: Any) -> Sequence[dict[str, Any]]:
        """At most `n` documents; never `eval_doc`, where it is among those to choose from."""
        excluded = None if eval_doc is None else eval_doc["note_id"]
        shown = [doc for doc in self._first(n + 1) if doc["note_id"] != excluded][:n]
        order = in_seeded_order(pl.DataFrame({"note_id": [doc["note_id"] for doc in shown]}), self.seed)["note_id"]
        return sorted(shown, key=lambda doc: order.to_list().index(doc["note_id"]))

    def _first(self, num: int) -> list[dict[str, Any]]:
        """`num` documents, balanced: the same ones first for every `num`."""
        held: dict[int, list[dict[str, Any]]] = self.__dict__.setdefault("_held", {})
        if num not in held:
            docs = {doc["note_id"]: doc for doc in self.fewshot_docs()}
            labels = [{"note_id": note, "label": doc["label"]} for note, doc in docs.items()]
            held[num] = [docs[note] for note in balanced(pl.DataFrame(labels), num, self.seed)["note_id"]]
        return held[num]


class NoteTask(ConfigurableTask):
    """A task about notes; the folder's own module says where its data lies."""

    FOLDER: ClassVar[Path]

    def __init__(self, config: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self._rooms: dict[int, Room] = {}
        self._ids: dict[str, pl.Series] = {}
        self._tokenizer: Any = None
        # The harness hands over the name of this class as well, and does not take it.
        held = {name: value for name, value in (config or {}).items() if name != "class"}
        super().__init__(config=held, **kwargs)
        self.sampler.seed = int(self.config.metadata["fewshot_seed"])

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int, **kwargs: Any) -> Any:
        return super().fewshot_context(doc, num_fewshot=self._room(num_fewshot).shots, **kwargs)

    def doc_to_text(self, doc: dict[str, Any], doc_to_text: Any = None) -> Any:
        room = self._room(self.config.num_fewshot or 0)
        return super().doc_to_text({**doc, "note": self._cut(doc, room.note_tokens)}, doc_to_text)

    def _room(self, num_fewshot: int) -> Room:
        if num_fewshot not in self._rooms:
            self._rooms[num_fewshot] = self._measure_room(num_fewshot)
        return self._rooms[num_fewshot]

    def _measure_room(self, num_fewshot: int) -> Room:
        metadata = self.config.metadata
        if num_fewshot == 0:
            return Room(shots=0, note_tokens=int(metadata["note_tokens"]))
        context_length = int(metadata.get("max_length", metadata["context_length"]))
        room = room_for(
            self.dataset["test"][0]["question"],
            "".join(self.config.doc_to_choice),
            self.FOLDER / TOKENIZER_FOLDER,
            int(metadata["note_tokens"]),
            context_length,
            min(num_fewshot, len(self.dataset["train"])),
        )
        if room.shots < num_fewshot:
            logger.warning(
                "%s: %d of %d examples: no more fit a context of %d tokens, or are there",
                self.config.task,
                room.shots,
                num_fewshot,
                context_length,
            )
        return room

    def _cut(self, doc: dict[str, Any], note_tokens: int) -> str:
        """As `prompts.cut_notes` cuts the whole note."""
        if note_tokens >= int(self.config.metadata["note_tokens"]):
            return str(doc["note"])
        if not self._ids:
            self._ids = read_ids(self.FOLDER, self.config.dataset_kwargs["name"])
            self._tokenizer = AutoTokenizer.from_pretrained(self.FOLDER / TOKENIZER_FOLDER, trust_remote_code=False)
        ids = self._ids[doc["note_id"]]
        return str(doc["note"] if len(ids) <= note_tokens else self._tokenizer.decode(ids[:note_tokens].to_list()))
