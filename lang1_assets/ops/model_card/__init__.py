"""A model card that answers the items of TRIPOD+AI (Collins et al., BMJ 2024) from what was run, and from nothing else (M81)."""
