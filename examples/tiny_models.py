"""Models of transformers small enough for a test: random weights, whole folders, nothing fetched.

    python examples/tiny_models.py models     # models/clipseg, models/sam3, models/florence2, ...

    load_segmenter("hf:" + write_tiny_clipseg(tmp_path / "clipseg"))
    load_segmenter("hf:" + write_tiny_grounded_sam2(tmp_path))           # "A+B", two folders

Each writes what a repository of the hub holds (weights, config.json, processor, tokenizer) by
save_pretrained, and returns its name. The same seed gives the same weights. Layers are few and
narrow, but of the same kinds as the real models'; a forward takes some milliseconds.
"""

from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel

import dghin.run.timm_import  # noqa: F401  (torchvision, where it needs help, before transformers)

# isort: split
import transformers
from transformers import AddedToken

WORDS = (
    "the a of in on to left right top bottom red green blue yellow small large circle square "
    "triangle star man woman dog locate image with mask next and above below"
).split()
TEXT = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    hidden_act="gelu",
)


def write_tiny_clipseg(folder: Path, seed: int = 0, size: int = 64) -> str:
    """CLIPSegForImageSegmentation at `size`, where the pretrained one has 352."""
    tokenizer = clip_tokenizer(77)
    config = transformers.CLIPSegConfig(
        text_config=dict(**TEXT, max_position_embeddings=77, **_special_ids(tokenizer)),
        vision_config=dict(**TEXT | {"num_hidden_layers": 3}, image_size=32, patch_size=16),
        projection_dim=16,
        extract_layers=[0, 1, 2],
        reduce_dim=16,
        decoder_intermediate_size=32,
    )
    images = transformers.ViTImageProcessor(size={"height": size, "width": size})
    processor = transformers.CLIPSegProcessor(images, tokenizer)

    def listen(model):  # or the answers would hardly depend on the text
        model.decoder.film_mul.weight.mul_(10)
        model.decoder.film_add.weight.mul_(10)

    made = transformers.CLIPSegForImageSegmentation
    return _write(folder, made, config, processor, seed, 0.2, listen)


def write_tiny_sam3(folder: Path, seed: int = 0) -> str:
    """Sam3Model at 112 × 112 (an 8 × 8 grid of patches), with 8 queries.

    Its scores are spread out, so that some texts have instances above 0.5 and others have none.
    """

    def spread_scores(model):
        model.dot_product_scoring.query_proj.weight.mul_(4)
        model.detr_decoder.presence_head.layer3.bias.add_(0.2)

    config = tiny_sam3_config()
    images = transformers.Sam3ImageProcessor(
        size={"height": 112, "width": 112}, mask_size={"height": 32, "width": 32}
    )
    processor = transformers.Sam3Processor(images, clip_tokenizer(32))
    return _write(folder, transformers.Sam3Model, config, processor, seed, 0.1, spread_scores)


def tiny_sam3_config() -> "transformers.Sam3Config":
    small = dict(hidden_size=32, num_attention_heads=4)
    layers = dict(**small, intermediate_size=64, num_layers=2)
    return transformers.Sam3Config(
        vision_config=dict(
            backbone_config=dict(
                model_type="sam3_vit_model",
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=112,
                pretrain_image_size=56,
                window_size=4,
                global_attn_indexes=[1],
            ),
            fpn_hidden_size=32,
            backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
        ),
        text_config=dict(
            model_type="clip_text_model",
            **TEXT,
            projection_dim=16,
            max_position_embeddings=32,
            **_special_ids(clip_tokenizer(32)),
        ),
        geometry_encoder_config=layers,
        detr_encoder_config=layers,
        detr_decoder_config=dict(**layers, num_queries=8),
        mask_decoder_config=small,
    )


def write_tiny_florence2(folder: Path, seed: int = 0) -> str:
    """Florence2ForConditionalGeneration at 64 × 64, which writes 12 tokens at most.

    Its embeddings make tokens of locations likely, so that it does draw polygons.
    """
    tokenizer = florence2_tokenizer()
    config = transformers.Florence2Config(
        vision_config=dict(
            depths=(1, 1, 1, 1),
            embed_dim=(8, 8, 16, 16),
            num_heads=(2, 2, 2, 2),
            num_groups=(2, 2, 2, 2),
            window_size=4,
            projection_dim=32,
        ),
        text_config=dict(
            model_type="bart",
            vocab_size=len(tokenizer),
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=256,
        ),
        image_token_id=tokenizer.image_token_id,
    )
    images = transformers.CLIPImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=False, resample=3
    )
    images.image_seq_length = 5  # 2 × 2 places and their mean
    processor = transformers.Florence2Processor(
        images, tokenizer, post_processor_config={"polygons": {}}
    )

    def prefer_locations(model):
        first = tokenizer.convert_tokens_to_ids("<loc_0>")
        model.get_input_embeddings().weight[first : first + 1000] *= 20
        model.generation_config.update(
            max_new_tokens=12,
            no_repeat_ngram_size=1,
            decoder_start_token_id=2,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )

    made = transformers.Florence2ForConditionalGeneration
    return _write(folder, made, config, processor, seed, spread=0.2, change=prefer_locations)


def write_tiny_grounded_sam2(folder: Path, seed: int = 0) -> str:
    """A Grounding DINO and a SAM 2, in two folders: "A+B"."""
    detector = write_tiny_grounding_dino(Path(folder) / "grounding-dino", seed)
    return f"{detector}+{write_tiny_sam2(Path(folder) / 'sam2', seed)}"


def write_tiny_grounding_dino(folder: Path, seed: int = 0) -> str:
    """GroundingDinoForObjectDetection for photos of 64 pixels, with 10 queries."""
    tokenizer = bert_tokenizer()
    config = transformers.GroundingDinoConfig(
        backbone_config=dict(
            model_type="swin",
            image_size=64,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=dict(model_type="bert", vocab_size=len(tokenizer), **TEXT),
        num_queries=10,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
    )
    images = transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 96}
    )
    processor = transformers.GroundingDinoProcessor(images, tokenizer)
    made = transformers.GroundingDinoForObjectDetection
    return _write(folder, made, config, processor, seed, spread=0.1)


def write_tiny_sam2(folder: Path, seed: int = 0) -> str:
    """Sam2Model at 64 × 64."""
    images = transformers.Sam2ImageProcessor(size={"height": 64, "width": 64})
    processor = transformers.Sam2Processor(images)
    return _write(folder, transformers.Sam2Model, tiny_sam2_config(), processor, seed, spread=0.1)


def tiny_sam2_config() -> "transformers.Sam2Config":
    return transformers.Sam2Config(
        vision_config=dict(
            backbone_config=dict(
                model_type="sam2_hiera_det_model",
                hidden_size=8,
                image_size=[64, 64],
                blocks_per_stage=[1, 1, 2, 1],
                embed_dim_per_stage=[8, 16, 32, 64],
                num_attention_heads_per_stage=[1, 1, 2, 4],
                window_size_per_stage=[4, 2, 2, 2],
                global_attention_blocks=[3],
            ),
            backbone_channel_list=[64, 32, 16, 8],
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
            fpn_hidden_size=32,
        ),
        prompt_encoder_config=dict(hidden_size=32, image_size=64, mask_input_channels=8),
        mask_decoder_config=dict(
            hidden_size=32, mlp_dim=64, num_attention_heads=4, iou_head_hidden_dim=32
        ),
    )


def clip_tokenizer(longest: int) -> "transformers.CLIPTokenizer":
    """CLIP's byte pairs, of WORDS only."""
    alphabet = sorted(ByteLevel.alphabet())
    merges, joined = byte_pairs(WORDS, end="</w>")
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *joined]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(
        {token: number for number, token in enumerate(tokens)}, merges, model_max_length=longest
    )


def florence2_tokenizer() -> "transformers.BartTokenizer":
    """BART's byte pairs, of WORDS only, with the 1000 tokens of locations."""
    merges, joined = byte_pairs([*WORDS, *("Ġ" + word for word in WORDS)])
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), *joined, "<mask>"]
    tokenizer = transformers.BartTokenizer(
        {token: number for number, token in enumerate(tokens)},
        merges,
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.add_tokens([AddedToken(f"<loc_{place}>", special=True) for place in range(1000)])
    return tokenizer


def bert_tokenizer() -> "transformers.BertTokenizer":
    """BERT's word pieces, of WORDS only; Grounding DINO knows four of its tokens by number."""
    tokens = [f"[unused{number}]" for number in range(1030)]
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    for number, token in (fixed | {1012: ".", 1029: "?"}).items():
        tokens[number] = token
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,-'"
    tokens += [*letters, *("##" + letter for letter in letters)]
    tokens += [word for word in WORDS if len(word) > 1]
    return transformers.BertTokenizer({token: number for number, token in enumerate(tokens)})


def byte_pairs(words: list[str], end: str = "") -> tuple[list[tuple[str, str]], list[str]]:
    """Merges that make each word one token, from its left on, and the tokens they make."""
    merges: list[tuple[str, str]] = []
    for word in words:
        parts = [*word[:-1], word[-1] + end]
        left = parts[0]
        for part in parts[1:]:
            merges.append((left, part))
            left += part
    merges = list(dict.fromkeys(merges))
    return merges, list(dict.fromkeys(left + right for left, right in merges))


def _special_ids(tokenizer) -> dict[str, int]:
    return dict(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


@torch.no_grad()
def _write(folder, model_class, config, processor, seed, spread=None, change=None) -> str:
    """Save a model with random weights, and its processor; the folder's name.

    spread: the standard deviation of all matrices, where the class's own would give answers that
    hardly depend on photo and text. change: called with the model before it is saved.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_class(config)
    if spread:
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
    if change:
        change(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    import sys

    models = Path(sys.argv[1] if len(sys.argv) > 1 else "models")
    for write in (write_tiny_clipseg, write_tiny_sam3, write_tiny_florence2):
        print(write(models / write.__name__.removeprefix("write_tiny_")))
    print(write_tiny_grounded_sam2(models))
