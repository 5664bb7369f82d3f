"""Training samples of noise that need neither a parser nor prepared data, for a bare GPU box."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from noise import random_features, write_photos
from PIL import Image

from data_preprocess.base.photos import read_photo
from dghin.data.batches import LANGUAGE, language_of
from dghin.data.dataset import resize_image
from dghin.run.config import Config


class Photos:
    """So many smooth random JPEGs of 640×480 with masks, made into samples as PreparedDataset
    makes them; none is remembered."""

    def __init__(self, folder: Path, config: Config, count: int = 64):
        self.folder, self.count, self.size = Path(folder), count, config.model.image_size
        self.features = random_features(config, count)
        write_photos(self.folder, count)

    def name(self, index: int) -> str:
        return f"photo {index % self.count}"

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = index % self.count
        image = resize_image(read_photo(self.folder / f"{number}.jpg"), self.size)
        with Image.open(self.folder / f"{number}.png") as file:
            truth = np.asarray(file.convert("L")) > 127
        small = Image.fromarray(truth.view(np.uint8)).resize(
            (self.size, self.size), Image.Resampling.NEAREST
        )
        words = {key: language_of(self.features, number)[key] for key in LANGUAGE}
        mask = torch.from_numpy(np.array(small))
        return {"image": image, "image_name": str(index), "mask": mask, "index": index, **words}
