"""Forgetting people: who, where their rows and text lie, taking them out, and what cannot be taken back."""
