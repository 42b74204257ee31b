"""The pretraining job: `deepspeed --module lang1_assets.ops.pretraining --config FILE` (paper 5.3).

Reads token shards, trains a decoder (or an encoder, for Fig. D4) on their mixture, and leaves a trajectory of Hugging Face
checkpoints, `metrics.jsonl` and `summary.json` in its work folder. Started again in the same folder, it goes on from its last
checkpoint.
"""
