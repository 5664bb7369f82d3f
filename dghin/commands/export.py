"""The network as one file that runs without this package: ONNX, or a torch.export program.

    dghin export model=reports/demo/train/best output=model.onnx
    dghin export model=reports/demo/train/best output=model.pt2

The file is compared with the network before it gets its name. dghin/inspection/export.py says how
to use it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from dghin.inspection.export import checked_suffix, export_checked
from dghin.model.dghin import DGHIN
from dghin.run.command_line import read_words

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> None:
    """`dghin export`; see the module's docstring."""
    own = {"model": "reports/demo/train/best", "output": "model.onnx"}
    values, _ = read_words("dghin export", __doc__, own, arguments, settings=False)
    path = Path(values["output"])
    checked_suffix(path)
    model = DGHIN.from_pretrained(values["model"])
    log.info("%s: being written, which takes a minute or a few", path)
    found = export_checked(model, path, model.language)
    log.info(
        "%s: written, %.1f MB; its logits differ from the network's by %.1e at most (the largest "
        "is %.2g)", path, path.stat().st_size / 1e6, *found,
    )  # fmt: skip
