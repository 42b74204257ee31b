"""The project's scoring against lm-evaluation-harness's own (`simple_evaluate` with `HFLM`) on this machine's CPU.

Same model folder, same notes, same prompts, letter for letter; each contender in a process of its own, in turns. What is timed is
all that comes after the model is open: reading the notes, building prompts, tokens, forward passes, probabilities. The harness is
given several batch sizes; 1 is its default. Probabilities are compared note by note.

Run: `.venv/bin/python bench/scoring.py [repeats] [part of a name;another]`. Writes `bench/results/scoring.json` and `.md`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from contest import RESULTS, contest, machine, rows_of, table, timed, write_results
from texts import notes_and_tokenizer

NOTE_TOKENS = 512
CONTEXT = 1024
SEED = 7
SPLIT = "test"
BATCH_SIZE = 16
SHAPES = {
    # The smol_llama-101M shape of Lang1-100M, and a narrow model for which the vocabulary is most of the work.
    "101M": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 6,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
    },
    "20M": {
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
    },
}
VOCAB_SIZE = 32_000
HP_TASKS = ("mortality", "length_of_stay", "comorbidity", "insurance_denial")
FIVE = ("readmission", *HP_TASKS)


@dataclass(frozen=True, kw_only=True)
class Case:
    shape: str
    tasks: tuple[str, ...]
    shots: int
    num_notes: int
    """Of each task; the four tasks about notes of admission ask about the same ones."""
    batch_sizes: tuple[int, ...]
    """Of the harness."""


CASES = {
    "101M, one task, zero-shot": Case(shape="101M", tasks=("mortality",), shots=0, num_notes=10, batch_sizes=(1, 4)),
    "101M, five tasks, zero-shot": Case(shape="101M", tasks=FIVE, shots=0, num_notes=3, batch_sizes=(1, 4)),
    "101M, five tasks, 2-shot": Case(shape="101M", tasks=FIVE, shots=2, num_notes=3, batch_sizes=(1, 4)),
    "20M, one task, zero-shot": Case(shape="20M", tasks=("mortality",), shots=0, num_notes=20, batch_sizes=(1, 4)),
}


def prepare(folder: Path) -> None:
    """A tokenizer and models that all cases share."""
    from lang1_assets.ops.model import ModelShape, build_model, save_model

    texts = notes_and_tokenizer(folder, 1_500, 4096, SEED)
    # A hospital's notes are longer than the synthetic ones: several in a row, up to a length that varies.
    rng = np.random.default_rng(SEED)
    joined = [" ".join(texts[start : start + int(rng.integers(1, 6))]) for start in range(0, 600, 6)]
    (folder / "notes.json").write_text(json.dumps(joined))
    for name, shape in SHAPES.items():
        made = ModelShape(**shape, context_length=CONTEXT, tie_word_embeddings=False, rms_norm_eps=1e-5)
        model = build_model(made, VOCAB_SIZE, SEED)
        save_model(model, model.state_dict(), folder / "tokenizer", folder / name)


def prepare_case(folder: Path, case: Case, target: Path) -> None:
    """Examples of each task and the harness's folder of them."""
    from lang1_assets.ops.harness.writing import HarnessConfig, write_harness_tasks

    target.mkdir()
    texts = json.loads((folder / "notes.json").read_text())
    files = {task: target / f"{task}.parquet" for task in case.tasks}
    for task, path in files.items():
        examples(task, texts, case.num_notes).write_parquet(path)
    config = HarnessConfig(
        source="embedded", split=SPLIT, note_tokens=NOTE_TOKENS, context_length=CONTEXT, max_examples=10**6, seed=SEED
    )
    (target / "harness").mkdir()
    write_harness_tasks(target / "harness", files, [], folder / "tokenizer", config)
    (target / "case.json").write_text(json.dumps({**asdict(case), "model": str(folder / case.shape)}))


def examples(task: str, texts: list[str], num_notes: int) -> pl.DataFrame:
    """Rows of `schemas.EXAMPLES`: notes of training after those that are tested; labels in turn."""
    from lang1_assets.ops import schemas
    from lang1_assets.ops.tasks import TASKS

    # The notes of discharge are others than those of admission.
    first = 10 if task == "readmission" else 0
    rows = [
        {
            "note_id": f"{TASKS[task].note_type}-{number:03d}",
            "encounter_id": f"e{number}",
            "subject_id": f"s{number}",
            "prediction_time": datetime(2019, 1, 1),
            "split": SPLIT if number < num_notes else "train",
            "label": number % TASKS[task].num_classes,
            "age": 50,
            **dict.fromkeys(("sex", "race", "ethnicity", "borough"), "synthetic"),
            "text": texts[(first + number) % len(texts)],
        }
        for number in range(num_notes + 8)
    ]
    types = {"label": pl.Int32, "age": pl.Int32, "prediction_time": pl.Datetime("us")}
    return pl.DataFrame(rows).select(schemas.EXAMPLES.names).cast(types)


def open_for_bench(folder: Path) -> Any:
    import torch

    from lang1_assets.ops.model import open_model

    model = open_model(folder).eval()
    with torch.no_grad():
        # What is done once is done.
        model(torch.ones((1, 64), dtype=torch.long))
    return model


def run_ours(case: dict[str, Any], folder: Path) -> None:
    from lang1_assets.ops.few_shot import few_shot
    from lang1_assets.ops.prompts import build_prompts, read_examples
    from lang1_assets.ops.scoring import on_every_device, score_together
    from lang1_assets.ops.tasks import TASKS

    base = Path(case["model"])
    models = on_every_device(open_for_bench(base))

    def work() -> dict[str, Any]:
        sets, ids = [], []
        for name in case["tasks"]:
            path = folder / f"{name}.parquet"
            shown = few_shot(TASKS[name], path, base, NOTE_TOKENS, CONTEXT, case["shots"], SEED)
            rows = read_examples(path, SPLIT, 10**6, SEED)
            texts, labels = rows["text"].to_list(), rows["label"].to_list()
            sets.append(build_prompts(TASKS[name], texts, labels, base, shown.note_tokens, CONTEXT, shown.before))
            ids.append(rows["note_id"].to_list())
        scored = score_together(models, sets, BATCH_SIZE)
        return {
            name: dict(zip(notes, found.tolist(), strict=True))
            for name, notes, found in zip(case["tasks"], ids, scored, strict=True)
        }

    timed(work)


def run_harness(case: dict[str, Any], folder: Path, batch_size: int) -> None:
    import lm_eval
    import lm_eval.tasks
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    base = Path(case["model"])
    model = HFLM(
        pretrained=open_for_bench(base),
        tokenizer=AutoTokenizer.from_pretrained(base),
        add_bos_token=True,
        max_length=CONTEXT,
        batch_size=batch_size,
        device="cpu",
    )

    def work() -> dict[str, Any]:
        manager = lm_eval.tasks.TaskManager(include_path=str(folder / "harness"), include_defaults=False)
        outcome = lm_eval.simple_evaluate(
            model=model,
            tasks=[f"remede_{name}" for name in case["tasks"]],
            task_manager=manager,
            num_fewshot=case["shots"],
            bootstrap_iters=0,
            log_samples=True,
        )
        assert outcome is not None
        return {
            name: {row["doc"]["note_id"]: row["auroc"][1] for row in outcome["samples"][f"remede_{name}"]}
            for name in case["tasks"]
        }

    timed(work)


def run(name: str, folder: Path) -> None:
    case = json.loads((folder / "case.json").read_text())
    if name == "ours":
        run_ours(case, folder)
    else:
        run_harness(case, folder, int(name.rsplit(" ", 1)[1]))


def largest_difference(results: dict[str, dict[str, Any]]) -> float:
    ours = results.pop("ours")
    return max(
        float(np.abs(np.array(theirs[task][note]) - np.array(probabilities)).max())
        for theirs in results.values()
        for task, notes in ours.items()
        for note, probabilities in notes.items()
    )


def measure(name: str, folder: Path, repeats: int) -> dict[str, Any]:
    case = CASES[name]
    target = folder / name.replace(" ", "_").replace(",", "")
    prepare_case(folder, case, target)
    contenders = ["ours", *(f"harness, batch {size}" for size in case.batch_sizes)]
    runs = contest(__file__, contenders, repeats, lambda contender, turn: [str(target)])
    num_prompts = len(case.tasks) * case.num_notes
    rows = rows_of(runs, num_prompts)
    best = min(rows[contender]["seconds"] for contender in contenders[1:])
    best_cpu = min(rows[contender]["cpu_seconds"] for contender in contenders[1:])
    found = {
        "prompts": num_prompts,
        "contenders": rows,
        "ratio_to_default": round(rows["harness, batch 1"]["seconds"] / rows["ours"]["seconds"], 2),
        "ratio_to_best": round(best / rows["ours"]["seconds"], 2),
        "cpu_ratio_to_best": round(best_cpu / rows["ours"]["cpu_seconds"], 2),
        "largest_difference": largest_difference({contender: held[0].result for contender, held in runs.items()}),
    }
    return {"date": date.today().isoformat(), "machine": machine(), "repeats": repeats, **found}


def lines_of(name: str, found: dict[str, Any]) -> list[str]:
    return [
        f"## {name}",
        "",
        f"{found['date']}, {found['machine']}; medians of {found['repeats']}. {found['prompts']} prompts. Largest difference of a "
        f"probability: {found['largest_difference']:.1e}.",
        "",
        *table(found["contenders"], "ours", "prompts/s"),
        "",
    ]


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    names = [name for name in CASES if len(sys.argv) < 3 or any(part in name for part in sys.argv[2].split(";"))]
    # Cases that are not asked for keep what was measured before.
    path = RESULTS / "scoring.json"
    found: dict[str, Any] = json.loads(path.read_text())["cases"] if path.exists() else {}
    with tempfile.TemporaryDirectory(prefix="scoring-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as scratch:
        prepare(Path(scratch))
        for name in names:
            found[name] = measure(name, Path(scratch), repeats)
            write({case: found[case] for case in CASES if case in found})


def write(found: dict[str, Any]) -> None:
    names = ("ratio_to_best", "cpu_ratio_to_best")
    rows = [
        f"| {name} | {' | '.join(str(case[field]) for field in names)} | {case['largest_difference']:.1e} |"
        for name, case in found.items()
    ]
    head = [
        f"Untrained Llama models with a vocabulary of {VOCAB_SIZE:,}, float32, notes of at most {NOTE_TOKENS} tokens, a "
        f"context of {CONTEXT}; in turns. Ratios are to the harness's best batch size; on a busy machine those by CPU seconds "
        "say more.",
        "",
        "| case | ours is faster by | by CPU seconds | largest difference |",
        "|---|---:|---:|---:|",
        *rows,
        "",
    ]
    write_results("scoring", {"cases": found}, [*head, *(line for case in found.items() for line in lines_of(*case))])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
