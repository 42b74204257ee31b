"""Where a model looks when it is about to answer: the note's share of the last token's attention, head by head.

    python bench/explain/attention.py --home lang1_home --profile tiny --task readmission [--model NAME=FOLDER ...]

Without `--model`: every checkpoint of the profile's first pretrained variant, the one with random weights first. Printed and
written to `bench/results/attention.md`. No words of a note are printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from lang1_assets.ops.prompts import PromptSet, build_prompts, read_examples
from lang1_assets.ops.tasks import TASKS
from lang1_assets.settings import load_settings

NUM_NOTES = 150
SEED = 1
RESULT = Path(__file__).parents[1] / "results" / "attention.md"
COLUMNS = "model", "note's share of attention", "heads with more than half on the note", "tokens that a head attends to"


def common_end(ids: list[np.ndarray]) -> int:
    """Tokens at the end that all prompts share: the question and its options."""
    length = 0
    while all(len(row) > length and row[-1 - length] == ids[0][-1 - length] for row in ids):
        length += 1
    return length


@torch.no_grad()
def attention_of(folder: Path, prompts: PromptSet) -> tuple[np.ndarray, np.ndarray]:
    """(share on the note, exponential of the entropy) of the answer position, mean over notes, each (layers, heads)."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    question, shares, attended = common_end(prompts.ids), [], []
    for row in prompts.ids:
        layers = model(torch.from_numpy(row.astype(np.int64))[None], output_attentions=True).attentions
        weights = torch.stack([layer[0, :, -1] for layer in layers])
        # The first position is BOS, to which a head without anything to look for attends.
        shares.append(weights[..., 1:-question].sum(-1).numpy())
        attended.append(torch.special.entr(weights).sum(-1).exp().numpy())
    return np.mean(shares, axis=0), np.mean(attended, axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("lang1_home"))
    parser.add_argument("--profile", default="tiny")
    parser.add_argument("--task", default="readmission", choices=sorted(TASKS))
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    asked = parser.parse_args()
    settings = load_settings(asked.profile)
    variant = next(iter(settings.variants))
    root = asked.home / "artifacts" / settings.name
    trajectory = sorted((root / "pretrained_model" / variant / "trajectory").glob("tokens-*"))
    if not trajectory:
        sys.exit(f"{root}: no pretrained {variant}; run make demo first")
    rows = read_examples(root / f"{asked.task}_examples" / "examples.parquet", "val", NUM_NOTES, SEED)
    texts, labels = rows["text"].to_list(), rows["label"].to_list()
    length = settings.shape_of(variant).context_length
    prompts = build_prompts(TASKS[asked.task], texts, labels, trajectory[0], settings.finetune.note_tokens, length)
    models = {f"{folder.name.removeprefix('tokens-').lstrip('0') or 'no'} tokens": folder for folder in trajectory}
    models |= {name: Path(folder) for name, folder in (given.split("=", 1) for given in asked.model)}
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|"]
    for name, folder in models.items():
        shares, attended = attention_of(folder, prompts)
        on_note = f"{(shares > 0.5).sum()} of {shares.size}"
        lines.append(f"| {name} | {shares.mean():.2f} | {on_note} | {np.median(attended):.0f} |")
    kind = "synthetic notes" if settings.is_synthetic else "notes"
    tokens, of_question = np.median([len(row) for row in prompts.ids]), common_end(prompts.ids)
    said = f"{len(rows)} {kind} of {asked.task}, prompts of {tokens:.0f} tokens in the median, {of_question} of them the question;"
    text = "\n".join(["# attention", "", f"{said} {variant} and what was made of it.", "", *lines, ""])
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
