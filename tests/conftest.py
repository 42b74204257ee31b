"""Hypothesis without a deadline: the machines that run this are noisy, and no test here is about time."""

import os

# Before anything loads torch: two workers of tests on two cores, each with two threads that spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from hypothesis import settings

settings.register_profile("lang1", deadline=None, derandomize=True)
settings.load_profile("lang1")
