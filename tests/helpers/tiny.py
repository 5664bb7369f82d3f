"""A network and a training small enough for a test, and where the recorded numbers are."""

from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"
TINY_MODEL = [
    "model.image_size=64",
    "model.width=16",
    "model.backbone=test_efficientnet",  # timm: one block a level
    "model.text_width=32",
    "model.text_layers=1",
    "model.text_heads=2",
    "model.text_mlp_width=64",
    "weights.backbone=",
    "weights.text=",
]
TINY_TRAINING = [
    "model.text_dropout=0.1",
    "train.text_learning_rate_scale=1.0",
    "train.backbone_learning_rate_scale=0.3",
    "train.keep_maps=false",
    "train.optimizer=adamw",
    "train.learning_rate=3.5e-3",
    "train.weight_decay=0.01",
    "train.clip_gradient=0",
    "train.head_start=0",
    "train.flip=0",
    "train.warmup=0",
    "train.iterations=4",
    "train.batch=6",
    "train.batch_per_process=6",
    "train.expressions_per_image=3",
    "train.validate_every=2",
    "train.log_every=1",
    "train.tensorboard=false",
    "train.workers=0",
    "evaluate.workers=0",
    "train.threads=1",
]
