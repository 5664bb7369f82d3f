"""SAM 3: all instances of a short text's concept (Meta, 2025); the answer is their union.

    load_segmenter("hf:facebook/sam3", {"threshold": 0.5}, device="cuda")

The model's own post-processing (Sam3Processor.post_process_instance_segmentation) decides: an
instance's score is its own probability times the probability that the concept is present at all,
and it counts above `threshold`; a pixel is in its mask above `mask_threshold`. Where no instance
counts, the mask is empty and the answer says that nothing is meant. The photo's encoder runs once.
SAM 3 reads 32 tokens at most; what is longer is cut.
"""

import numpy as np
import torch
from PIL import Image

from dghin.evaluation.answers import Answer

from .pretrained import PretrainedSegmenter, load_all

# isort: split
from transformers import Sam3Model, Sam3Processor


class Sam3(PretrainedSegmenter):
    """A Segmenter of Sam3Model. name: a folder, or a repository of the hub.

    threshold, mask_threshold: 0.5 both, as in the examples of SAM 3 itself.
    """

    at_once = 8  # the mask decoder alone needs about 0.3 GB for each

    def __init__(
        self,
        name: str,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
    ):
        self.threshold, self.mask_threshold = threshold, mask_threshold
        classes = Sam3Model, Sam3Processor
        self.model, self.processor, facts = load_all(*classes, name, device, revision)
        vit = self.model.config.vision_config.backbone_config
        backbone = f"ViT, {vit.num_hidden_layers} layers, patch {vit.patch_size}"
        super().__init__(facts | {"backbone": backbone}, sam3=self.model)

    def see(self, photo: Image.Image):
        """The vision encoder's output, and the photo's (height, width)."""
        pixels = self.processor(images=photo, return_tensors="pt").pixel_values  # (1, 3, S, S)
        return self.model.get_vision_features(pixels.to(self.model.device)), photo.size[::-1]

    def read(self, seen, expressions: list[str]) -> list[Answer]:
        vision, size = seen
        count = len(expressions)
        length = self.model.config.text_config.max_position_embeddings
        words = self.processor.tokenizer(
            expressions,
            padding="max_length",
            truncation=True,
            max_length=min(32, length),
            return_tensors="pt",
        ).to(self.model.device)
        repeated = type(vision)(
            fpn_hidden_states=_repeat(vision.fpn_hidden_states, count),
            fpn_position_encoding=_repeat(vision.fpn_position_encoding, count),
        )
        out = self.model(
            vision_embeds=repeated,
            input_ids=words.input_ids,
            attention_mask=words.attention_mask,
        )
        found = self.processor.post_process_instance_segmentation(
            out, self.threshold, self.mask_threshold, target_sizes=[size] * count
        )
        return [_union(one["masks"], size) for one in found]


def _repeat(levels, count: int) -> tuple:
    """Feature maps (1, D, h, w) of one photo for `count` expressions: (E, D, h, w)."""
    return tuple(level.expand(count, *level.shape[1:]) for level in levels)


def _union(masks: torch.Tensor, size: tuple[int, int]) -> Answer:
    """Instances' masks (K, H, W) as one; none: an empty mask, and nothing is meant."""
    if not len(masks):
        return Answer(np.zeros(size, bool), "mask", no_target=True)
    return Answer(masks.bool().any(dim=0).cpu().numpy(), "mask", no_target=False)  # (H, W)
