"""Benches that cannot run on every machine still have to run on the one they are for."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.ops.conftest import free_port

REPOSITORY = Path(__file__).parents[1]

STEPS_ON_CPU = """
import json, sys
import torch
sys.path.insert(0, "bench")
import pretrain_gpu as bench
torch.cuda.synchronize = lambda: None
torch.cuda.max_memory_allocated = lambda: 1
case = bench.Case(shape=bench.llama(32, 64, 2, 4, 2, 64), micro_batch_size=2, micro_steps=2, zero_stage=2, mark=1)
print(json.dumps(bench.measure_ours(case, 0.1, compiled=False)))
"""


def test_the_gpu_bench_measures_the_job_s_own_step() -> None:
    """Our half of it, on CPU: the first loss is that of a model which knows nothing."""
    rank = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    done = subprocess.run(
        [sys.executable, "-c", STEPS_ON_CPU],
        cwd=REPOSITORY,
        env={**os.environ, **rank, "DS_ACCELERATOR": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert abs(found["first_loss"] - 10.37) < 0.1
    assert found["steps"] >= 2
    assert found["tokens_per_second"] > 0


def test_the_gpu_bench_has_the_family_s_shapes_and_recipe() -> None:
    from lang1_assets.settings import load_settings

    spec = importlib.util.spec_from_file_location("pretrain_gpu", REPOSITORY / "bench" / "pretrain_gpu.py")
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules["pretrain_gpu"] = bench
    spec.loader.exec_module(bench)
    for name, case in bench.CASES.items():
        settings = load_settings(f"lang1-{name}")
        shape = settings.model.model_dump()
        assert {field: shape[field] for field in case.shape} == case.shape
        assert case.zero_stage == settings.pretrain.zero_stage
