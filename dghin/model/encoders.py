"""The two encoders: a timm image pyramid and a BERT text encoder.

Both are built from ModelConfig with random weights; `dghin.model.pretrained` loads pretrained ones.
"""

from typing import Any

from torch import Tensor, nn

from data_preprocess.base.errors import UserError, unknown_name
from dghin.run.config import ModelConfig
from dghin.run.timm_import import timm

from .windows import use_windows

STRIDES = (4, 8, 16, 32)


class VisualPyramid(nn.Module):
    """Image (B, 3, S, S) → four maps at strides 4, 8, 16, 32, each (B, C_i, S/s, S/s).

    A Swin gets one LayerNorm a stage and the original's order of padding and rolling (the
    segmentation code of Swin pads the map to whole windows, then rolls it; timm rolls first, which
    gives other values where a map is no multiple of the window, as 104 is of 12).
    """

    body: Any  # timm's model

    def __init__(self, config: ModelConfig):
        super().__init__()
        if not timm.is_model(config.backbone):
            known = timm.list_models(f"{config.backbone.split('_')[0]}*")
            raise unknown_name("backbone", config.backbone, known or timm.list_models("swin_*"))
        self.is_swin = config.backbone.startswith("swin_")
        options: dict[str, Any] = {"img_size": config.image_size} if self.is_swin else {}
        if config.drop_path or self.is_swin:  # timm's own default for a Swin is 0.1
            options["drop_path_rate"] = config.drop_path
        self.body = timm.create_model(config.backbone, features_only=True, **options)
        chosen = self._indices(config.backbone)
        if chosen != tuple(range(len(self.body.feature_info))):
            self.body = timm.create_model(
                config.backbone, features_only=True, out_indices=chosen, **options
            )
        self.channels = tuple(self.body.feature_info.channels())
        self.norms = nn.ModuleList(
            nn.LayerNorm(c) if self.is_swin else nn.Identity() for c in self.channels
        )
        if self.is_swin:
            use_windows(self.body)

    def _indices(self, name: str) -> tuple[int, ...]:
        reductions = list(self.body.feature_info.reduction())
        if any(stride not in reductions for stride in STRIDES):
            raise UserError(
                f"model.backbone={name}: its maps have strides {reductions}, but 4, 8, 16 and 32 "
                "are needed. Choose a pyramid, for example swin_base_patch4_window12_384."
            )
        return tuple(reductions.index(stride) for stride in STRIDES)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.body(image)
        if self.is_swin:  # channels last
            maps = [norm(x).permute(0, 3, 1, 2) for norm, x in zip(self.norms, maps, strict=True)]
        return list(maps)


def text_encoder(config: ModelConfig) -> nn.Module:
    """A BERT with random weights: word ids (B, L), attention mask (B, L) → (B, L, text_width)."""
    from transformers import BertConfig, BertModel

    settings = BertConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.text_width,
        num_hidden_layers=config.text_layers,
        num_attention_heads=config.text_heads,
        intermediate_size=config.text_mlp_width,
        hidden_dropout_prob=config.text_dropout,
        attention_probs_dropout_prob=config.text_dropout,
    )
    return BertModel(settings, add_pooling_layer=False)


class Context(nn.Module):
    """One vector of a sentence: words (B, L, T) → (B, T), a learnt weighting of all L positions."""

    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.project = LinearNormPReLU(width, width)

    def forward(self, words: Tensor) -> Tensor:
        share = self.score(words).softmax(dim=1)  # (B, L, 1), padding takes part
        return self.project((share * words).sum(dim=1))


class LinearNormPReLU(nn.Sequential):
    """Linear, BatchNorm1d over all leading dimensions, PReLU: (..., in) → (..., out)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        linear, norm, activation = self
        x = linear(x)
        return activation(norm(x.flatten(0, -2)).view_as(x))
