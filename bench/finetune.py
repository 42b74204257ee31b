"""The project's finetuning against the `Trainer` of transformers on this machine's CPU: notes a second, memory, AUROC.

Same model folder, same prompts in the same order, same optimizer, rate and schedule; each contender in a process of its own, in
turns. The Trainer is given what makes it fast: batches padded to their longest prompt (a second time padded to the context, as
many recipes do), labels at the answer alone, no logging, saving or evaluation. What is timed is training, from a model that is
open to the last step, ours with DeepSpeed's engine as the job starts it. Both models are then scored on the same held-out
notes, whose label a sentence in half of them gives away nine times in ten.

Run: `.venv/bin/python bench/finetune.py [repeats] [part of a name;another]`. Writes `bench/results/finetune.json` and `.md`.

"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from contest import RESULTS, contest, machine, rows_of, table, timed, write_results
from texts import notes_and_tokenizer

SEED = 7
NUM_VALIDATION = 300
TELLING = " Course complicated by septic shock."
TRUE_SHARE = 0.9
TASK = "mortality"
TRAINER, PADDED = "Trainer, padded to the batch", "Trainer, padded to the context"


@dataclass(frozen=True, kw_only=True)
class Case:
    shape: dict[str, int]
    vocab_size: int
    note_tokens: int
    context_length: int
    batch_size: int
    num_steps: int
    learning_rate: float


def shape(*, width: int, inner: int, layers: int, heads: int, key_value_heads: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
    }


CASES = {
    "1M (tiny)": Case(
        shape=shape(width=128, inner=256, layers=3, heads=4, key_value_heads=2),
        vocab_size=4_096, note_tokens=232, context_length=320, batch_size=4, num_steps=200, learning_rate=1e-3,
    ),
    "20M": Case(
        shape=shape(width=256, inner=1024, layers=6, heads=8, key_value_heads=4),
        vocab_size=32_000, note_tokens=512, context_length=640, batch_size=8, num_steps=24, learning_rate=1e-3,
    ),
}  # fmt: skip


def prepare(folder: Path) -> None:
    """A tokenizer and notes that all cases share."""
    texts = notes_and_tokenizer(folder, 1_500, 4096, SEED)
    (folder / "notes.json").write_text(json.dumps(texts))


def prepare_case(folder: Path, case: Case, target: Path) -> None:
    """The model, and prompts with their labels: what both contenders are given."""
    from lang1_assets.ops.model import ModelShape, build_model, save_model
    from lang1_assets.ops.prompts import build_prompts
    from lang1_assets.ops.tasks import TASKS

    target.mkdir()
    texts, rng = json.loads((folder / "notes.json").read_text()), np.random.default_rng(SEED)
    number = case.batch_size * case.num_steps + NUM_VALIDATION
    # Several notes in a row where the context has room: a hospital's are longer than the synthetic ones.
    per_note = max(1, case.note_tokens // 232)
    told = rng.random(number) < 0.5
    labels = np.where(rng.random(number) < TRUE_SHARE, told, ~told).astype(int)
    notes = []
    for i in range(number):
        chosen = rng.choice(len(texts), size=int(rng.integers(1, per_note + 1)))
        notes.append((TELLING if told[i] else "") + " ".join(texts[j] for j in chosen))
    prompts = build_prompts(
        TASKS[TASK], notes, labels.tolist(), folder / "tokenizer", case.note_tokens, case.context_length
    )
    ids = [row.tolist() for row in prompts.ids]
    data = {"ids": ids, "labels": labels.tolist(), "letters": prompts.letter_ids, "case": asdict(case)}
    (target / "data.json").write_text(json.dumps(data))
    shape = ModelShape(**case.shape, context_length=case.context_length, tie_word_embeddings=True, rms_norm_eps=1e-5,
                       initializer_range=0.06)  # fmt: skip
    model = build_model(shape, case.vocab_size, SEED)
    save_model(model, model.state_dict(), folder / "tokenizer", target / "model")


def read(target: Path) -> tuple[Case, dict[str, Any]]:
    data = json.loads((target / "data.json").read_text())
    return Case(**data["case"]), data


def run_ours(target: Path) -> None:
    os.environ.update(DS_ACCELERATOR="cpu", RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", LOCAL_SIZE="1",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=str(20_000 + os.getpid() % 20_000))  # fmt: skip
    from lang1_assets.ops.model import AnswerLoss, open_model
    from lang1_assets.ops.prompts import PromptSet
    from lang1_assets.ops.training.config import TrainingConfig
    from lang1_assets.ops.training.engine import start_engine
    from lang1_assets.ops.training.step import take_step
    from lang1_assets.ops.training.world import set_up

    case, data = read(target)
    world = set_up(SEED)
    training = TrainingConfig(
        global_batch_size=case.batch_size, micro_batch_size=case.batch_size, max_steps=case.num_steps,
        learning_rate=case.learning_rate, min_learning_rate=0.0, warmup_steps=0, betas=(0.9, 0.999), eps=1e-8,
        weight_decay=0.02, gradient_clipping=0.0, zero_stage=0, precision="fp32", compile=False,
        activation_checkpointing=False, validate_every_steps=10**9, save_every_steps=10**9, keep_last=2,
        log_every_steps=10**9,
    )  # fmt: skip
    rows = range(case.batch_size * case.num_steps)
    prompts = PromptSet(
        ids=[np.array(data["ids"][i]) for i in rows], letter_ids=data["letters"],
        labels=np.array([data["labels"][i] for i in rows]),
    )  # fmt: skip
    batches = InOrder({TASK: prompts}, {TASK: data["letters"]}, case.batch_size, SEED)
    model = open_model(target / "model")

    def work() -> dict[str, Any]:
        engine = start_engine(AnswerLoss(model), training, world)
        for step in range(case.num_steps):
            take_step(engine, training, step, batches.of_step(step, case.batch_size, world), world)
        return {}

    scored_after(work, model, data)


def InOrder(*arguments: Any) -> Any:  # noqa: N802
    """The project's batches, in the order in which the Trainer gets its own."""
    from lang1_assets.ops.finetuning.batches import JointBatches

    class Ordered(JointBatches):
        def _row(self, k: int) -> tuple[int, int]:
            return 0, k

    return Ordered(*arguments)


def run_trainer(target: Path, padded: bool) -> None:
    import torch
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, TrainingArguments

    from lang1_assets.ops.model import open_model

    case, data = read(target)
    rows = [
        {"ids": data["ids"][i], "answer": data["letters"][data["labels"][i]]}
        for i in range(case.batch_size * case.num_steps)
    ]

    def collate(chosen: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Prompt and answer; the loss is of the answer alone."""
        longest = case.context_length if padded else max(len(row["ids"]) for row in chosen) + 1
        ids, labels, mask = (torch.zeros((len(chosen), longest), dtype=torch.long) for _ in range(3))
        labels -= 100
        for i, row in enumerate(chosen):
            length = len(row["ids"])
            ids[i, : length + 1] = torch.tensor([*row["ids"], row["answer"]])
            labels[i, length] = row["answer"]
            mask[i, : length + 1] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    class Ordered(Trainer):
        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return SequentialSampler(rows)

    arguments = TrainingArguments(
        output_dir=str(target / "trainer"), use_cpu=True, per_device_train_batch_size=case.batch_size,
        max_steps=case.num_steps, learning_rate=case.learning_rate, lr_scheduler_type="cosine", warmup_steps=0,
        adam_beta2=0.999, adam_epsilon=1e-8, weight_decay=0.02, max_grad_norm=0.0, optim="adamw_torch_fused",
        logging_strategy="no", save_strategy="no", eval_strategy="no", report_to=[], seed=SEED, disable_tqdm=True,
        remove_unused_columns=False, dataloader_pin_memory=False,
    )  # fmt: skip
    model = open_model(target / "model")

    def work() -> dict[str, Any]:
        Ordered(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()
        return {}

    scored_after(work, model, data)


def scored_after(work: Any, model: Any, data: dict[str, Any]) -> None:
    """Time the work, then the AUROC of what it made; scoring is not timed."""
    from lang1_assets.ops.metrics import auroc
    from lang1_assets.ops.prompts import PromptSet
    from lang1_assets.ops.scoring import score_options

    result: dict[str, Any] = {}

    def trained() -> dict[str, Any]:
        work()
        return result

    held: list[str] = []
    printed, sys.stdout = sys.stdout, Kept(held)  # type: ignore[assignment]
    try:
        timed(trained)
    finally:
        sys.stdout = printed
    labels = np.array(data["labels"][-NUM_VALIDATION:])
    ids = [np.array(row) for row in data["ids"][-NUM_VALIDATION:]]
    probabilities = score_options(model.eval(), PromptSet(ids=ids, letter_ids=data["letters"], labels=labels), 16)
    line = json.loads("".join(held).splitlines()[-1])
    print(json.dumps({**line, "result": {"auroc": auroc(labels, probabilities).value}}))


class Kept:
    """A stream that is read later."""

    def __init__(self, held: list[str]) -> None:
        self._held = held

    def write(self, text: str) -> int:
        self._held.append(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""


def run(name: str, target: Path) -> None:
    if name == "ours":
        run_ours(target)
    else:
        run_trainer(target, padded=name == PADDED)


def measure(name: str, folder: Path, repeats: int) -> dict[str, Any]:
    case = CASES[name]
    target = folder / name.split(" ", maxsplit=1)[0]
    prepare_case(folder, case, target)
    contenders = ["ours", TRAINER, PADDED]
    runs = contest(__file__, contenders, repeats, lambda contender, turn: [str(target)])
    rows = rows_of(runs, case.batch_size * case.num_steps)
    best = min(rows[contender]["seconds"] for contender in contenders[1:])
    best_cpu = min(rows[contender]["cpu_seconds"] for contender in contenders[1:])
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "repeats": repeats,
        "notes": case.batch_size * case.num_steps,
        "contenders": rows,
        "auroc": {contender: round(held[0].result["auroc"], 4) for contender, held in runs.items()},
        "ratio_to_best": round(best / rows["ours"]["seconds"], 2),
        "cpu_ratio_to_best": round(best_cpu / rows["ours"]["cpu_seconds"], 2),
    }


def lines_of(name: str, found: dict[str, Any]) -> Iterator[str]:
    aurocs = ", ".join(f"{contender} {value:.4f}" for contender, value in found["auroc"].items())
    yield from (f"## {name}", "")
    yield f"{found['date']}, {found['machine']}; medians of {found['repeats']}. {found['notes']} notes. AUROC: {aurocs}."
    yield from ("", *table(found["contenders"], "ours", "notes/s"), "")


def write(found: dict[str, Any]) -> None:
    rows = [
        f"| {name} | {case['ratio_to_best']} | {case['cpu_ratio_to_best']} | {case['auroc']['ours']:.4f} | "
        f"{case['auroc'][TRAINER]:.4f} |"
        for name, case in found.items()
    ]
    head = [
        "Synthetic notes, float32, one process with all cores; in turns. Ratios are to the faster of the two Trainers; on a busy "
        "machine those by CPU seconds say more.",
        "",
        "| model | ours is faster by | by CPU seconds | AUROC of ours | of the Trainer |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
    ]
    write_results("finetune", {"cases": found}, [*head, *(line for case in found.items() for line in lines_of(*case))])


def main() -> None:
    # For all alike: beside other processes, threads that spin while they wait make any of them ten times as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    names = [name for name in CASES if len(sys.argv) < 3 or any(part in name for part in sys.argv[2].split(";"))]
    path = RESULTS / "finetune.json"
    found: dict[str, Any] = json.loads(path.read_text())["cases"] if path.exists() else {}
    with tempfile.TemporaryDirectory(prefix="finetune-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as scratch:
        prepare(Path(scratch))
        for name in names:
            found[name] = measure(name, Path(scratch), repeats)
            write({case: found[case] for case in CASES if case in found})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
