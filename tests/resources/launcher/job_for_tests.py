"""A small job that the launcher tests start: it behaves as its config says, saves its step when asked to stop, and goes on."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from lang1_assets.ops.training.processes import die_with_parent
from lang1_assets.ops.training.slurm import join_slurm_step

stopping = []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--local_rank", type=int)
    path = parser.parse_args().config
    config = json.loads(path.read_text())
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    die_with_parent()
    join_slurm_step(os.environ)
    if "DAGSTER_PIPES_CONTEXT" in os.environ and not (path.parent / "pipes_context.json").exists():
        sys.exit("a session with Dagster that is not there")
    rank = int(os.environ["RANK"])
    (path.parent / f"rank-{rank}.pid").write_text(str(os.getpid()))
    saved = path.parent / f"rank-{rank}.step"
    start = int(saved.read_text()) if saved.exists() else 0
    for step in range(start, config.get(f"steps_of_rank_{rank}", config["steps"])):
        if rank == 0:
            with open(path.parent / "metrics.jsonl", "a") as handle:
                row = {"step": step, "group": "train", "time": time.time(), "values": {"train/loss": 1.0 / (step + 1)}}
                handle.write(json.dumps(row) + "\n")
        time.sleep(config["pause_seconds"])
        failed = path.parent / "failed_once"
        if step == config.get("fails_once_at") and not failed.exists():
            saved.write_text(str(step + 1))
            if rank == 1:
                time.sleep(1)
                failed.touch()
                raise RuntimeError("this rank cannot go on")
            time.sleep(600)
        if stopping:
            time.sleep(config.get("seconds_to_save", 0))
            saved.write_text(str(step + 1))
            sys.exit(143)
    if config["fail"]:
        print("job_for_tests: the reason", file=sys.stderr, flush=True)
        sys.exit(config["fail"])


if __name__ == "__main__":
    main()
