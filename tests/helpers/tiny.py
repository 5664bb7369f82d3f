"""A network small enough for a test, and where the recorded numbers are."""

from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden"
TINY_MODEL = [
    "model.image_size=64",
    "model.width=16",
    "model.text_width=32",
    "model.text_layers=1",
    "model.text_heads=2",
    "model.text_mlp_width=64",
    "weights.backbone=",
    "weights.text=",
]
