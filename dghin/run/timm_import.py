"""`from .timm_import import timm`: timm, also where torchvision was built for another torch.

timm imports torchvision, and PyPI's torchvision is a CUDA build. Beside a CPU build of torch its
import fails with "operator torchvision::nms does not exist", because its compiled operators could
not be loaded. Nothing here uses them. Only when that happens, the two operators that torchvision
registers fake versions of at import are declared (without a body), and the import is tried again.

Most models of transformers (CLIPSeg, SAM 3, ...) import torchvision, too, and fail in the same way.
A module that needs one of them imports this module first; torchvision is then loaded already.
"""

import sys

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _declare_operators() -> None:
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", _SCHEMA)
    for module in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[module]  # half-imported by the failed try


try:
    import timm
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _declare_operators()
    import timm

__all__ = ["timm"]
