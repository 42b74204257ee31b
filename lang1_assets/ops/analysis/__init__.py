"""What lies behind one AUROC: for whom a model works, whether it knows the patients, whether it still works (appendices F, K, L).

Everything is computed from an evaluation's predictions and the demographics of its notes; no text comes near.
"""
