"""dghin: reproduce, check, explain and extend DGHIN for referring image segmentation.

The names here are imported on first use, so that `import dghin` stays light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["DGHIN", "ModelConfig", "Predictor"]

_HOMES = {
    "DGHIN": "model.dghin",
    "ModelConfig": "run.config",
    "Predictor": "inspection.predictor",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
