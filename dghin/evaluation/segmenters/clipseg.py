"""CLIPSeg: a CLIP whose small decoder marks what a text means (Lüddecke and Ecker, CVPR 2022).

    load_segmenter("hf:CIDAS/clipseg-rd64-refined", device="cuda")

A photo is squeezed into a square (352 × 352), as its processor does it. The answer is the logits
of that square: (2, S, S) of 0 and x, so that their softmax is the sigmoid of its one channel x.
The photo's encoder runs once; the text's encoder and the decoder run for each expression.
"""

import torch
from PIL import Image
from torch import Tensor

from dghin.evaluation.answers import Answer

from .pretrained import PretrainedSegmenter, load_all

# isort: split
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor


class ClipSeg(PretrainedSegmenter):
    """A Segmenter of CLIPSegForImageSegmentation. name: a folder, or a repository of the hub."""

    def __init__(self, name: str, device: str | torch.device = "cpu", revision: str | None = None):
        classes = CLIPSegForImageSegmentation, CLIPSegProcessor
        self.model, self.processor, facts = load_all(*classes, name, device, revision)
        vision = self.model.config.vision_config
        backbone = f"CLIP ViT, {vision.num_hidden_layers} layers, patch {vision.patch_size}"
        super().__init__(facts | {"backbone": backbone}, clipseg=self.model)

    def see(self, photo: Image.Image) -> list[Tensor]:
        """The activations of the layers that the decoder reads, each (1, N, D)."""
        pixels = self.processor(images=photo, return_tensors="pt").pixel_values  # (1, 3, S, S)
        hidden = self.model.clip.vision_model(
            pixels.to(self.model.device), interpolate_pos_encoding=True, output_hidden_states=True
        ).hidden_states
        return [hidden[layer + 1] for layer in self.model.extract_layers]  # 0: the embeddings

    def read(self, seen: list[Tensor], expressions: list[str]) -> list[Answer]:
        count = len(expressions)
        words = self.processor.tokenizer(
            expressions,
            padding=True,
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self.model.device)
        texts = self.model.get_conditional_embeddings(  # (E, D)
            count, input_ids=words.input_ids, attention_mask=words.attention_mask
        )
        activations = tuple(layer.expand(count, -1, -1) for layer in seen)  # (E, N, D)
        logits = self.model.decoder(activations, texts).logits
        logits = logits.reshape(count, *logits.shape[-2:])  # (E, S, S)
        return [
            Answer(torch.stack([torch.zeros_like(one), one]), "logits")  # (2, S, S)
            for one in logits
        ]
