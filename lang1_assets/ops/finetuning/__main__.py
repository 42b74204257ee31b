"""The job's entry."""

from lang1_assets.ops.finetuning.loop import main
from lang1_assets.ops.training.job import run_job

if __name__ == "__main__":
    run_job(main)
