"""Dated exports of a hospital: what has landed, whether it is whole, what it is the news of, and what is to be done about it."""
