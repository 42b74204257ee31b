"""Starts DeepSpeed training jobs from assets, and follows them: live progress, clean stop, nothing left behind.

The same job file, `work/job.json`, runs on this machine, on the hosts of a file over ssh, or as a Slurm job; the `launch`
section of a profile says where. Dagster's own subprocess client signals one process and never kills, and DeepSpeed's
multi-node runner leaves its ranks running when it is signaled: neither is used.
"""

from lang1_assets.resources.launcher.resource import TrainingLauncher

__all__ = ["TrainingLauncher"]
