"""A small job that the launcher tests start: it behaves as its config says."""

import json
import os
import sys
import time
from pathlib import Path

from lang1_assets.ops.training.processes import die_with_parent


def main() -> None:
    arguments = dict(zip(sys.argv[1::1], sys.argv[2::1], strict=False))
    path = Path(arguments["--config"])
    config = json.loads(path.read_text())
    rank = int(os.environ["RANK"])
    die_with_parent()
    (path.parent / f"rank-{rank}.pid").write_text(str(os.getpid()))
    for step in range(config["steps"]):
        if rank == 0:
            with open(path.parent / "metrics.jsonl", "a") as handle:
                row = {"step": step, "group": "train", "time": time.time(), "values": {"train/loss": 1.0 / (step + 1)}}
                handle.write(json.dumps(row) + "\n")
        time.sleep(config["pause_seconds"])
    if config["fail"]:
        print("job_for_tests: the reason", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
