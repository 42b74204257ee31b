"""The finetuning job: `deepspeed --module lang1_assets.ops.finetuning --config FILE` (paper 5.4).

Searches the learning rate, then trains the model to answer questions about notes, on one task or on several mixed evenly in
each batch, with early stopping on micro-AUROC. Leaves the best model, `metrics.jsonl`, `search.json` and `summary.json` in its
work folder. Started again in the same folder, it goes on where it stopped. Engine, steps, checkpoints, alerts and signals are
those of pretraining (`ops.training`).
"""
