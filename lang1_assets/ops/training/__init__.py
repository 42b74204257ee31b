"""What pretraining and finetuning share: the ranks, DeepSpeed, steps, checkpoints, stopping."""
