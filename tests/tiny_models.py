"""Tiny models of transformers with random weights, written to disk with their processors and
tokenizers."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tiny_pipelines import tokenizer_files

LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
PIECES = [f"##{c}" for c in LETTERS]
WORDS = [
    "red",
    "blue",
    "dog",
    "house",
    "snow",
    "train",
    "two",
    "in",
    "the",
    "old",
    "##es",
    "##ing",
    "##er",
]
SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}


def seeded(make):
    """A model made with fixed random weights, larger than usual, so that no input is lost in it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in name:
                torch.nn.init.normal_(weight, std=0.15)
    return model.eval()


def bert_tokenizer(folder: Path):
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *PIECES, *WORDS]
    (folder / "vocab.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    return BertTokenizer.from_pretrained(folder, model_max_length=32)


def sentence_model(
    folder: Path, pooling: dict[str, object] | None = None, unit: bool = False, dense: bool = False
) -> Path:
    """BERT; with `pooling` also what sentence-transformers writes beside it."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    tokenizer = bert_tokenizer(folder)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, **SMALL)
    seeded(lambda: BertModel(config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if pooling is None:
        return folder
    home = "sentence_transformers.models"
    parts = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, **pooling})
    )
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": 12, "do_lower_case": False})
    )
    if dense:
        parts.append(("2_Dense", "Dense"))
        (folder / "2_Dense").mkdir()
        said = {
            "in_features": 16,
            "out_features": 6,
            "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh",
        }
        (folder / "2_Dense" / "config.json").write_text(json.dumps(said))
        layer = {
            f"linear.{k}": v.contiguous()
            for k, v in seeded(lambda: torch.nn.Linear(16, 6)).state_dict().items()
        }
        save_file(layer, folder / "2_Dense" / "model.safetensors")
    if unit:
        parts.append(("3_Normalize", "Normalize"))
    listed = [
        {"idx": k, "name": str(k), "path": path, "type": f"{home}.{kind}"}
        for k, (path, kind) in enumerate(parts)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    return folder


def image_model(folder: Path, kind: str) -> Path:
    """kind: clip, siglip, vit (its pooler left out), dinov2, convnext."""
    import transformers as t

    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    size = {"height": 32, "width": 32}
    if kind == "clip":
        written = tokenizer_files(folder.with_name(f"{folder.name}-words"))
        tokenizer = t.CLIPTokenizer.from_pretrained(written, model_max_length=16)
        ends = {
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": 1,
        }
        words = {**SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 16, **ends}
        config = t.CLIPConfig(text_config=words, vision_config=vision, projection_dim=12)
        seeded(lambda: t.CLIPModel(config)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        t.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    elif kind == "siglip":
        words = {**SMALL, "vocab_size": 100, "max_position_embeddings": 16}
        seeded(
            lambda: t.SiglipModel(t.SiglipConfig(text_config=words, vision_config=vision))
        ).save_pretrained(folder)
        t.SiglipImageProcessorPil(size=size).save_pretrained(folder)
        bert_tokenizer(folder).save_pretrained(folder)
    elif kind == "vit":
        seeded(lambda: t.ViTModel(t.ViTConfig(**vision), add_pooling_layer=False)).save_pretrained(
            folder
        )
        t.ViTImageProcessorPil(size=size).save_pretrained(folder)
    elif kind == "dinov2":
        seeded(lambda: t.Dinov2Model(t.Dinov2Config(**vision))).save_pretrained(folder)
        t.BitImageProcessorPil(size={"shortest_edge": 40}, crop_size=size).save_pretrained(folder)
    else:
        config = t.ConvNextConfig(hidden_sizes=[8, 16, 16, 24], depths=[1, 1, 1, 1], image_size=32)
        seeded(lambda: t.ConvNextModel(config)).save_pretrained(folder)
        t.ConvNextImageProcessorPil(size={"shortest_edge": 32}).save_pretrained(folder)
    return folder


def audio_model(folder: Path, kind: str) -> Path:
    """kind: clap, whisper, ast, wav2vec2."""
    import transformers as t

    if kind == "clap":
        sound = {
            "spec_size": 64,
            "num_mel_bins": 16,
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [1, 2],
            "window_size": 4,
            "num_hidden_layers": 2,
            "patch_size": 4,
            "patch_stride": [4, 4],
        }
        words = {**SMALL, "vocab_size": 50, "max_position_embeddings": 20}
        config = t.ClapConfig(text_config=words, audio_config=sound, projection_dim=12)
        seeded(lambda: t.ClapModel(config)).save_pretrained(folder)
        t.ClapFeatureExtractor(
            feature_size=16, max_length_s=1, truncation="rand_trunc"
        ).save_pretrained(folder)
    elif kind == "whisper":
        config = t.WhisperConfig(
            vocab_size=60,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_mel_bins=8,
            max_source_positions=100,
            max_target_positions=10,
            pad_token_id=1,
            bos_token_id=2,
            eos_token_id=3,
            decoder_start_token_id=4,
        )
        seeded(lambda: t.WhisperModel(config)).save_pretrained(folder)
        t.WhisperFeatureExtractor(feature_size=8, chunk_length=2).save_pretrained(folder)
    elif kind == "ast":
        config = t.ASTConfig(**SMALL, max_length=128, num_mel_bins=16)
        seeded(lambda: t.ASTModel(config)).save_pretrained(folder)
        t.ASTFeatureExtractor(num_mel_bins=16, max_length=128).save_pretrained(folder)
    else:
        config = t.Wav2Vec2Config(
            vocab_size=8,
            conv_dim=(8, 8),
            conv_stride=(40, 8),
            conv_kernel=(40, 8),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
            **SMALL,
        )
        seeded(lambda: t.Wav2Vec2Model(config)).save_pretrained(folder)
        t.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
