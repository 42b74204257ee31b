"""Hypothesis without a deadline: the machines that run this are noisy, and no test here is about time."""

from hypothesis import settings

settings.register_profile("lang1", deadline=None, derandomize=True)
settings.load_profile("lang1")
