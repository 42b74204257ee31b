"""Runs the job."""

from lang1_assets.ops.pretraining.loop import main
from lang1_assets.ops.training.job import run_job

if __name__ == "__main__":
    run_job(main)
