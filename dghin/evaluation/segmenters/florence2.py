"""Florence-2: writes a phrase's region as polygons, in words (Xiao et al., CVPR 2024).

    load_segmenter("hf:florence-community/Florence-2-base", device="cuda")

Asked "Locate PHRASE in the image with mask" (its task <REFERRING_EXPRESSION_SEGMENTATION>), it
writes tokens <loc_0> to <loc_999>, x and y by turns, in thousandths of the photo's width and
height. Its processor turns them into pixels; the polygons are filled at the photo's size, and
several of them are one mask. Without a polygon of three corners the mask is empty. It has no way
to say that nothing is meant. The photo's encoder runs once.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from dghin.evaluation.answers import Answer

from .pretrained import PretrainedSegmenter, load_all

# isort: split
from transformers import Florence2ForConditionalGeneration, Florence2Processor

TASK = "<REFERRING_EXPRESSION_SEGMENTATION>"
PROMPT = "Locate {} in the image with mask"  # what its processor makes of TASK and a phrase
LONGEST = 1024  # tokens of an answer, as in its authors' example


class Florence2(PretrainedSegmenter):
    """A Segmenter of Florence2ForConditionalGeneration. name: a folder, or one of the hub.

    beams: the width of the beam search, 3 in its authors' example; 1 is faster. max_new_tokens:
    the longest answer; the folder's generation_config.json, or 1024, unless it is given.
    """

    def __init__(
        self,
        name: str,
        device: str | torch.device = "cpu",
        revision: str | None = None,
        beams: int = 3,
        max_new_tokens: int | None = None,
    ):
        classes = Florence2ForConditionalGeneration, Florence2Processor
        self.model, self.processor, facts = load_all(*classes, name, device, revision)
        self.beams = beams
        self.longest = max_new_tokens or self.model.generation_config.max_new_tokens or LONGEST
        backbone = f"DaViT of width {self.model.config.vision_config.embed_dim[-1]}"
        super().__init__(facts | {"backbone": backbone}, florence2=self.model)

    def see(self, photo: Image.Image) -> tuple[Tensor, tuple[int, int]]:
        """The photo as tokens of the language model, (1, T, D), and its (width, height)."""
        pixels = self.processor.image_processor(photo, return_tensors="pt").pixel_values
        features = self.model.get_image_features(pixels.to(self.model.device))
        return features.pooler_output, photo.size

    def read(self, seen: tuple[Tensor, tuple[int, int]], expressions: list[str]) -> list[Answer]:
        features, size = seen
        texts = self.processor.batch_decode(
            self.write(features, expressions), skip_special_tokens=False
        )
        return [Answer(self.draw(text, size), "mask") for text in texts]

    def write(self, features: Tensor, expressions: list[str]) -> Tensor:
        """The tokens of the answers, (E, L)."""
        count, tokenizer = len(expressions), self.processor.tokenizer
        photo = self.processor.image_token * features.shape[1]
        words = tokenizer(
            [
                f"{photo}{tokenizer.bos_token}{PROMPT.format(text.strip())}{tokenizer.eos_token}"
                for text in expressions
            ],
            padding=True,
            add_special_tokens=False,
            return_tensors="pt",
        ).to(self.model.device)
        embedded = self.model.get_input_embeddings()(words.input_ids)  # (E, N, D)
        places = (words.input_ids == self.processor.image_token_id)[..., None]  # (E, N, 1)
        embedded = embedded.masked_scatter(places, features.expand(count, -1, -1))
        encoded = self.model.get_encoder()(
            inputs_embeds=embedded, attention_mask=words.attention_mask
        )
        return self.model.generate(
            encoder_outputs=encoded,
            attention_mask=words.attention_mask,
            num_beams=self.beams,
            max_new_tokens=self.longest,
            do_sample=False,
        )

    def draw(self, text: str, size: tuple[int, int]) -> np.ndarray:
        """The polygons of an answer, filled: (H, W) bool. size: the photo's (width, height)."""
        said = self.processor.post_process_generation(text=text, task=TASK, image_size=size)
        canvas = Image.new("1", size)
        for polygon in _polygons(said[TASK]["polygons"]):
            ImageDraw.Draw(canvas).polygon(polygon, fill=1, outline=1)
        return np.array(canvas)


def _polygons(instances: Any) -> list[list[float]]:
    """The polygons of all instances with three corners or more, each x, y, x, y, ..."""
    return [polygon for instance in instances for polygon in instance if len(polygon) >= 6]
