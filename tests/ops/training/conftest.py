from lang1_assets.ops.training.config import TrainingConfig

CONFIG = TrainingConfig(
    global_batch_size=1024,
    micro_batch_size=8,
    max_steps=10_000,
    learning_rate=4e-4,
    min_learning_rate=4e-5,
    warmup_steps=2000,
    betas=(0.9, 0.95),
    eps=1e-8,
    weight_decay=0.1,
    gradient_clipping=1.0,
    zero_stage=2,
    precision="bf16",
    compile=False,
    activation_checkpointing=False,
    validate_every_steps=100,
    save_every_steps=100,
    keep_last=2,
    log_every_steps=10,
)
