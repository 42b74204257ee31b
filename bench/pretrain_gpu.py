"""Pretraining on one GPU: the 100M, 1B and 7B shapes by our step and by plain transformers training, in the same run.

Runs alone on a bare machine with torch, transformers and deepspeed: it needs this repository's `lang1_assets/ops` on the
path and nothing else of ours, no data and no network (windows are random ids; speed does not depend on them).

    python3 bench/pretrain_gpu.py                      # every shape, ours and the peer, ~8 minutes on an H200
    python3 bench/pretrain_gpu.py --shapes 1b --seconds 20
    python3 bench/pretrain_gpu.py --check              # correctness on this GPU before any timing

`--check` compares, on a small model, our loss and gradients in bf16 with plain transformers' in fp32, and that
accumulating in fp32 over 128 micro-steps is closer to the truth than in bf16. Each measurement is a process of its own:
one that runs out of memory is tried with half the micro-batch, and one that fails says so while the others go on. Prints
one table; writes `bench/results/pretrain_gpu.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

RESULTS = Path(__file__).parent / "results"
VOCABULARY = 32_000
WARM_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """One shape of the family and how it is trained on one GPU."""

    shape: dict[str, Any]
    micro_batch_size: int
    micro_steps: int
    """Micro-steps of one optimizer step here: enough that the optimizer's share is that of a real global batch."""
    zero_stage: int
    mark: int
    """Tokens a second to reach on one H200."""
    activation_checkpointing: bool = False


def llama(width: int, inner: int, layers: int, heads: int, key_value_heads: int, context: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "context_length": context,
        "tie_word_embeddings": False,
        "rms_norm_eps": 1e-5,
    }


CASES = {
    "100m": Case(
        shape=llama(768, 3072, 6, 24, 8, 1024), micro_batch_size=64, micro_steps=16, zero_stage=2, mark=650_000
    ),
    "1b": Case(
        shape=llama(2048, 5632, 22, 32, 4, 2048), micro_batch_size=16, micro_steps=16, zero_stage=2, mark=71_000
    ),
    # The moments and the weights in fp32 leave about 26 GiB of 139 for everything else.
    "7b": Case(
        shape=llama(4096, 11008, 32, 32, 32, 4096),
        micro_batch_size=1,
        micro_steps=64,
        zero_stage=3,
        mark=11_000,
        activation_checkpointing=True,
    ),
}
VARIANTS = {
    "ours": "our step: DeepSpeed, chunked loss, compiled, fused AdamW, gradients accumulated in fp32",
    "ours, eager": "our step, not compiled",
    "transformers": "plain transformers: autocast to bf16, fp32 weights, its own loss, fused AdamW",
    "transformers, compiled": "the same, compiled",
}


class RandomWindows:
    """In the place of a mixture: random ids."""

    def __init__(self, context_length: int) -> None:
        self._context_length = context_length

    def batch(self, step: int, size: int, rank: int, world: int, micro_batch_size: int, micro_step: int) -> np.ndarray:
        generator = np.random.Generator(np.random.Philox(key=[step, micro_step]))
        return generator.integers(3, VOCABULARY, (micro_batch_size, self._context_length + 1), dtype=np.int64)


def measure_ours(case: Case, seconds: float, compiled: bool) -> dict[str, float]:
    from lang1_assets.ops.model import ModelShape, build_model
    from lang1_assets.ops.pretraining.batches import Batches
    from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
    from lang1_assets.ops.pretraining.objective import NextToken
    from lang1_assets.ops.pretraining.step import take_step
    from lang1_assets.ops.training.engine import start_engine
    from lang1_assets.ops.training.world import set_up

    world = set_up(3407)
    shape = ModelShape(**case.shape)
    training = training_config(case, compiled)
    with world.device:
        model = build_model(shape, VOCABULARY, 3407)
    num_parameters = model.num_parameters()
    config = PretrainConfig(
        shape=shape,
        training=training,
        sources={},
        weights={},
        tokenizer_folder=Path(),
        vocab_size=VOCABULARY,
        checkpoint_tokens=1,
        suspect_steps=1,
        validation_windows=1,
        seed=3407,
    )
    objective = NextToken(training.zero_stage)
    engine = start_engine(objective.loss(model), training, world)
    batches = Batches(RandomWindows(shape.context_length), objective, training, world)  # type: ignore[arg-type]
    state = LoopState()
    first = float(take_step(config, engine, batches, state, world))
    found = timed(lambda: take_step(config, engine, batches, state, world), case, seconds)
    return {**found, "first_loss": first, "num_parameters": num_parameters, "data_wait_seconds": batches.wait_seconds}


def training_config(case: Case, compiled: bool) -> Any:
    from lang1_assets.ops.training.config import TrainingConfig

    return TrainingConfig(
        global_batch_size=case.micro_batch_size * case.micro_steps,
        micro_batch_size=case.micro_batch_size,
        max_steps=1_000_000,
        learning_rate=4e-4,
        min_learning_rate=4e-5,
        warmup_steps=2_000,
        betas=(0.9, 0.95),
        eps=1e-8,
        weight_decay=0.1,
        gradient_clipping=1.0,
        zero_stage=case.zero_stage,
        precision="bf16",
        compile=compiled,
        activation_checkpointing=case.activation_checkpointing,
        validate_every_steps=10**9,
        save_every_steps=10**9,
        keep_last=1,
        log_every_steps=10**9,
    )


def measure_transformers(case: Case, seconds: float, compiled: bool) -> dict[str, float]:
    """What the library's own documentation shows for one GPU: mixed precision by autocast, its model, its loss."""
    from lang1_assets.ops.model import ModelShape, build_model

    torch.set_float32_matmul_precision("high")
    with torch.device("cuda"):
        model = build_model(ModelShape(**case.shape), VOCABULARY, 3407)
    if case.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    num_parameters = model.num_parameters()
    model.train()
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    windows = RandomWindows(case.shape["context_length"])
    count = [0]

    def step() -> torch.Tensor:
        total = torch.zeros((), device="cuda")
        for micro_step in range(case.micro_steps):
            batch = torch.from_numpy(windows.batch(count[0], 0, 0, 1, case.micro_batch_size, micro_step))
            ids = batch[:, :-1].pin_memory().to("cuda", non_blocking=True)
            with torch.autocast("cuda", torch.bfloat16):
                loss = forward(input_ids=ids, labels=ids).loss
            (loss / case.micro_steps).backward()
            total += loss.detach()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        count[0] += 1
        return total / case.micro_steps

    first = float(step())
    return {**timed(step, case, seconds), "first_loss": first, "num_parameters": num_parameters}


def timed(step: Any, case: Case, seconds: float) -> dict[str, float]:
    """Tokens a second over whole steps, after the warm-up; the clock stops when the GPU is done."""
    for _ in range(WARM_STEPS):
        step()
    torch.cuda.synchronize()
    started, num_steps = time.monotonic(), 0
    while num_steps < 2 or time.monotonic() - started < seconds:
        step()
        num_steps += 1
        torch.cuda.synchronize()
    elapsed = time.monotonic() - started
    tokens = num_steps * case.micro_steps * case.micro_batch_size * case.shape["context_length"]
    return {"tokens_per_second": tokens / elapsed, "peak_bytes": torch.cuda.max_memory_allocated(), "steps": num_steps}


def measure(shape: str, variant: str, seconds: float, micro_batch_size: int | None) -> dict[str, float]:
    case = CASES[shape]
    if micro_batch_size is not None:
        case = replace(case, micro_batch_size=micro_batch_size)
    if variant.startswith("ours"):
        return measure_ours(case, seconds, compiled=variant == "ours")
    return measure_transformers(case, seconds, compiled=variant.endswith("compiled"))


def in_a_process(shape: str, variant: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One measurement; with half the micro-batch again when the GPU's memory did not do."""
    size = CASES[shape].micro_batch_size
    while size:
        command = [sys.executable, __file__, "--one", shape, variant, str(size), "--seconds", str(arguments.seconds)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=one_rank(), timeout=arguments.minutes * 60
            )
        except subprocess.TimeoutExpired:
            return {"error": f"longer than {arguments.minutes} minutes"}
        if done.returncode == 0:
            return {**json.loads(done.stdout.strip().splitlines()[-1]), "micro_batch_size": size}
        if "OutOfMemoryError" not in done.stderr:
            return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:300]}
        size //= 2
    return {"error": "does not fit"}


def one_rank() -> dict[str, str]:
    """The environment in which DeepSpeed finds itself the only rank."""
    rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29531"}
    memory = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    return {**os.environ, **rank, **memory}


def check() -> None:
    """Our loss and its gradients against plain transformers in fp32, and what accumulating in bf16 would cost."""
    from lang1_assets.ops.model import ModelShape, build_model
    from lang1_assets.ops.next_token_loss import NextTokenLoss

    shape = ModelShape(**llama(256, 512, 2, 8, 4, 256))
    with torch.device("cuda"):
        exact = build_model(shape, VOCABULARY, 1)
        ours = build_model(shape, VOCABULARY, 1).to(torch.bfloat16)
    windows = RandomWindows(256)
    batches = [torch.from_numpy(windows.batch(0, 0, 0, 1, 4, i)).cuda() for i in range(128)]
    loss_of = NextTokenLoss(ours, chunk_tokens=300)
    in_fp32 = [torch.zeros_like(p, dtype=torch.float32) for p in ours.parameters()]
    in_bf16 = [torch.zeros_like(p) for p in ours.parameters()]
    for batch in batches:
        expected = exact(input_ids=batch[:, :-1], labels=batch[:, :-1]).loss
        expected.backward()
        found = loss_of(batch[:, :-1])
        assert abs(found.item() - expected.item()) < 0.05, (found.item(), expected.item())
        for wide, narrow, grad in zip(
            in_fp32, in_bf16, torch.autograd.grad(found, list(ours.parameters())), strict=True
        ):
            wide += grad
            narrow += grad
    truth = torch.cat([p.grad.flatten() for p in exact.parameters()])
    errors = {
        name: float((torch.cat([g.flatten().float() for g in summed]) - truth).norm() / truth.norm())
        for name, summed in (("fp32", in_fp32), ("bf16", in_bf16))
    }
    print("relative error of the gradient after 128 micro-steps:", {k: round(v, 4) for k, v in errors.items()})
    assert errors["fp32"] < errors["bf16"], "accumulating in fp32 should be closer to the truth"


def write_results(rows: list[dict[str, Any]]) -> None:
    from lang1_assets.ops.model import ModelShape
    from lang1_assets.ops.pretraining.progress import flops_per_token, peak_flops

    device = torch.device("cuda")
    peak = peak_flops(device)
    lines = [
        "# pretrain_gpu",
        "",
        f"{date.today().isoformat()}, one {torch.cuda.get_device_name(device)}, torch {torch.__version__}, bf16, random ids. "
        "MFU: 6 N + 12 L h T operations a token, dense bf16 peak.",
        "",
        "| shape | how | tokens/s | MFU | peak memory, GiB | micro-batch | first loss | mark |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['shape']} | {row['variant']} | {row['error']} | | | | | {row['mark']:,} |")
            continue
        flops = flops_per_token(int(row["num_parameters"]), ModelShape(**CASES[row["shape"]].shape))
        used = f"{row['tokens_per_second'] * flops / peak:.1%}" if peak else "-"
        lines.append(
            f"| {row['shape']} | {row['variant']} | {row['tokens_per_second']:,.0f} | {used} | "
            f"{row['peak_bytes'] / 2**30:.1f} | {row['micro_batch_size']} | {row['first_loss']:.2f} | {row['mark']:,} |"
        )
    lines += ["", *(f"- {name}: {what}" for name, what in VARIANTS.items())]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pretrain_gpu.json").write_text(json.dumps(rows, indent=2) + "\n")
    (RESULTS / "pretrain_gpu.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seconds", type=float, default=15, help="of timed steps for each measurement")
    parser.add_argument("--minutes", type=float, default=4, help="after which a measurement is given up")
    parser.add_argument("--check", action="store_true", help="only compare numbers; exit 1 when they are off")
    parser.add_argument("--one", nargs=3, metavar=("SHAPE", "VARIANT", "SIZE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU here: this bench needs one (the CPU's is bench/pretrain_cpu.py)")
    if arguments.one:
        shape, variant, size = arguments.one
        print(json.dumps(measure(shape, variant, arguments.seconds, int(size))))
        return
    if arguments.check:
        check()
        return
    rows = []
    for shape in arguments.shapes:
        for variant in arguments.variants:
            found = in_a_process(shape, variant, arguments)
            rows.append({"shape": shape, "variant": variant, "mark": CASES[shape].mark, **found})
            print(rows[-1], flush=True)
            # After each one: a machine that goes away leaves what was measured.
            write_results(rows)


if __name__ == "__main__":
    main()
