"""Grounding DINO and SAM 2: the first finds the phrase's best box, the second its mask.

    load_segmenter("hf:IDEA-Research/grounding-dino-tiny+facebook/sam2-hiera-tiny", device="cuda")

Both as in "Grounded SAM" (Ren et al., 2024), of which a referring expression needs one box: the one
with the highest score above `threshold`. Without such a box the mask is empty and the answer says
that nothing is meant. SAM 2's encoder runs once for a photo. Grounding DINO mixes photo and text
in its encoder and takes pixels only, so that all of it runs for each expression.

Grounding DINO reads a phrase in small letters with a full stop at its end. A full stop or question
mark inside would make two phrases of it: it becomes a space.
"""

import re
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dghin.evaluation.answers import Answer

from .pretrained import PretrainedSegmenter, load_all

# isort: split
from transformers import (
    GroundingDinoForObjectDetection,
    GroundingDinoProcessor,
    Sam2Model,
    Sam2Processor,
)


class Seen(NamedTuple):
    """A photo: Grounding DINO's pixels and where they are no padding, SAM 2's features."""

    pixels: Tensor  # (1, 3, h, w)
    pixel_mask: Tensor  # (1, h, w)
    features: list[Tensor]  # of SAM 2
    size: tuple[int, int]  # the photo's (height, width)


class GroundedSam2(PretrainedSegmenter):
    """A Segmenter of GroundingDinoForObjectDetection and Sam2Model.

    name: DETECTOR+SAM2, each a folder or a repository of the hub. revision: in the same way,
    REVISION+REVISION. threshold: 0.25, as in the detector's own post-processing.
    """

    at_once = 4  # the detector's memory grows with pixels × expressions

    def __init__(
        self,
        name: str,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        threshold: float = 0.25,
    ):
        self.threshold = threshold
        names = name.split("+")
        first, second = revision.split("+") if revision else (None, None)
        detector = GroundingDinoForObjectDetection, GroundingDinoProcessor, names[0]
        self.detector, self.detector_processor, one = load_all(*detector, device, first)
        sam = Sam2Model, Sam2Processor, names[1]
        self.sam, self.sam_processor, other = load_all(*sam, device, second)
        both = [one, other]
        facts = {key: _together(both, key) for key in ("name", "image_size", "licence", "link")}
        facts["backbone"] = f"{self.detector.config.backbone_config.model_type} + Hiera"
        super().__init__(
            {key: value for key, value in facts.items() if value},
            detector=self.detector,
            sam2=self.sam,
        )

    def see(self, photo: Image.Image) -> Seen:
        device = self.sam.device
        found = self.detector_processor.image_processor(photo, return_tensors="pt").to(device)
        pixels = self.sam_processor(images=photo, return_tensors="pt").pixel_values.to(device)
        features = self.sam.get_image_embeddings(pixels)
        return Seen(found.pixel_values, found.pixel_mask, features, photo.size[::-1])

    def read(self, seen: Seen, expressions: list[str]) -> list[Answer]:
        boxes = self.boxes(seen, expressions)
        masks = iter(self.masks(seen, [box for box in boxes if box is not None]))
        return [
            Answer(np.zeros(seen.size, bool), "mask", no_target=True)
            if box is None
            else Answer(next(masks).numpy(), "mask", no_target=False)
            for box in boxes
        ]

    def boxes(self, seen: Seen, expressions: list[str]) -> list[list[float] | None]:
        """Each expression's best box, x0 y0 x1 y1 in the photo's pixels; None below threshold."""
        count = len(expressions)
        words = self.detector_processor.tokenizer(
            [as_caption(text) for text in expressions],
            padding=True,
            truncation=True,
            max_length=self.detector.config.max_text_len,
            return_token_type_ids=True,
            return_tensors="pt",
        ).to(self.detector.device)
        out = self.detector(
            pixel_values=seen.pixels.expand(count, -1, -1, -1),
            pixel_mask=seen.pixel_mask.expand(count, -1, -1),
            **words,
        )
        found = self.detector_processor.post_process_grounded_object_detection(
            out, words.input_ids, threshold=self.threshold, target_sizes=[seen.size] * count
        )
        return [
            one["boxes"][one["scores"].argmax()].tolist() if len(one["scores"]) else None
            for one in found
        ]

    def masks(self, seen: Seen, boxes: list[list[float]]) -> list[Tensor]:
        """SAM 2's one mask for each box, (H, W) bool at the photo's size."""
        if not boxes:
            return []
        given = self.sam_processor(
            original_sizes=[list(seen.size)], input_boxes=[boxes], return_tensors="pt"
        ).to(self.sam.device)
        out = self.sam(
            image_embeddings=list(seen.features),
            input_boxes=given.input_boxes,  # (1, E, 4)
            multimask_output=False,  # one: a box is no ambiguous prompt, as a point is
        )
        whole = self.sam_processor.post_process_masks(
            list(out.pred_masks.cpu()),
            [list(seen.size)],  # (E, 1, h, w) → (E, 1, H, W)
        )[0]
        return list(whole[:, 0])


def as_caption(expression: str) -> str:
    """An expression as Grounding DINO wants it: small letters, one full stop, at the end."""
    return " ".join(re.sub(r"[.?]", " ", expression.lower()).split()) + "."


def _together(both: list[dict[str, Any]], key: str) -> str:
    return " + ".join(str(facts[key]) for facts in both if key in facts)
