"""Small models of transformers with seeded weights, saved to folders as its own users do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t

SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 16,
}

AUDIO_CLAP = {
    "patch_embeds_hidden_size": 16,
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 2, 2, 4],
    "hidden_size": 128,
    "projection_dim": 24,
}
TEXT_CLAP = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "projection_dim": 24,
}


def speech_extractor() -> Any:
    return t.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False)


def clap(**audio: Any) -> Any:
    config = t.ClapConfig(text_config=TEXT_CLAP, audio_config=AUDIO_CLAP | audio, projection_dim=24)
    return t.ClapModel(config)


MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "wav2vec2": lambda: (t.Wav2Vec2Model(t.Wav2Vec2Config(**SPEECH)), speech_extractor()),
    "hubert": lambda: (t.HubertModel(t.HubertConfig(**SPEECH)), speech_extractor()),
    "wavlm": lambda: (t.WavLMModel(t.WavLMConfig(**SPEECH)), speech_extractor()),
    "data2vec": lambda: (
        t.Data2VecAudioModel(t.Data2VecAudioConfig(**SPEECH, conv_pos_kernel_size=3)),
        speech_extractor(),
    ),
    "ast": lambda: (
        t.ASTModel(
            t.ASTConfig(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48
            )
        ),
        t.ASTFeatureExtractor(),
    ),
    "clap": lambda: (clap(), t.ClapFeatureExtractor(truncation="rand_trunc")),
    "clap-fused": lambda: (
        clap(enable_fusion=True),
        t.ClapFeatureExtractor(truncation="fusion"),
    ),
    "whisper": lambda: (
        t.WhisperModel(
            t.WhisperConfig(
                d_model=32,
                encoder_layers=2,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                vocab_size=64,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                decoder_start_token_id=1,
            )
        ),
        t.WhisperFeatureExtractor(),
    ),
    "encodec": lambda: (
        t.EncodecModel(
            t.EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, codebook_size=32)
        ),
        t.EncodecFeatureExtractor(),
    ),
    "encodec-stereo": lambda: (
        t.EncodecModel(
            t.EncodecConfig(
                num_filters=4,
                hidden_size=16,
                codebook_dim=16,
                codebook_size=32,
                audio_channels=2,
                normalize=True,
                sampling_rate=48_000,
            )
        ),
        t.EncodecFeatureExtractor(feature_size=2, sampling_rate=48_000),
    ),
    "dac": lambda: (
        t.DacModel(
            t.DacConfig(
                encoder_hidden_size=4, decoder_hidden_size=64, codebook_size=32, n_codebooks=2
            )
        ),
        t.DacFeatureExtractor(),
    ),
}


def tokenizer() -> Any:
    """A tokenizer of CLAP's kind, whose tokens are letters and a few pairs of them."""
    letters = "\u0120abcdefghijklmnopqrstuvwxyz,"
    merges = [("\u0120", "p"), ("a", "n"), ("r", "a"), ("i", "n")]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *letters, *map("".join, merges), "<mask>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    assert len(tokens) <= TEXT_CLAP["vocab_size"]
    return t.RobertaTokenizer(vocab=vocabulary, merges=merges)


REMOTE_CODE = '''
import torch
from transformers import HubertModel, PretrainedConfig, PreTrainedModel


class OddConfig(PretrainedConfig):
    """As MERT-v1's: HuBERT's settings, without those that came later."""

    model_type = "odd_model"

    def __init__(self, hidden_size=16, num_hidden_layers=1, **more):
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        super().__init__(**more)


class OddModel(PreTrainedModel):
    config_class = OddConfig
    main_input_name = "input_values"

    def __init__(self, config):
        super().__init__(config)
        assert config.conv_pos_batch_norm is False
        self.inner = torch.nn.Linear(160, config.hidden_size)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_values, output_hidden_states=False, **_):
        first = self.inner(input_values.unfold(1, 160, 160))
        last = torch.tanh(first)
        from transformers.modeling_outputs import BaseModelOutput
        return BaseModelOutput(last_hidden_state=last, hidden_states=(first, last))
'''


DASHENG_CODE = """
import torch
from transformers import BatchFeature, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers import SequenceFeatureExtractor


class DashengConfig(PretrainedConfig):
    model_type = "dasheng"


class DashengFeatureExtractor(SequenceFeatureExtractor):
    def __init__(self, feature_size=8, sampling_rate=16_000, padding_value=0.0, **more):
        super().__init__(feature_size, sampling_rate, padding_value, **more)

    def __call__(self, x, sampling_rate=None, return_tensors="pt"):
        levels = torch.stack([torch.as_tensor(one) for one in x]).unfold(1, 160, 160).abs().log1p()
        return BatchFeature({"input_values": torch.maximum(levels, levels.max() * 0.3)})


class DashengModel(PreTrainedModel):
    config_class = DashengConfig
    main_input_name = "input_values"

    def __init__(self, config):
        super().__init__(config)
        self.inner = torch.nn.Linear(160, config.encoder_kwargs["embed_dim"])
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_values, labels=None):
        states = self.inner(input_values)
        return SequenceClassifierOutput(logits=states.mean(1).sigmoid(), hidden_states=states)
"""


def save(kind: str, folder: Path) -> Path:
    """Save a model of a kind, with its feature extractor; return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, extractor = MAKERS[kind]()
    model.eval().save_pretrained(folder)
    extractor.save_pretrained(folder)
    if kind.startswith("clap"):
        tokenizer().save_pretrained(folder)
    return folder


def save_remote(folder: Path) -> Path:
    """Save a model that comes with its own code."""
    config = {
        "model_type": "odd_model",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "auto_map": {"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"},
    }
    _save_with_code(folder, config, "odd", REMOTE_CODE)
    speech_extractor().save_pretrained(folder)
    return folder


def save_dasheng(folder: Path) -> Path:
    """Save a model that is called as Dasheng is, whose extractor looks across a batch."""
    classes = {"AutoConfig": "DashengConfig", "AutoModel": "DashengModel"}
    config = {
        "model_type": "dasheng",
        "encoder_kwargs": {"embed_dim": 16},
        "auto_map": {auto: f"dasheng.{name}" for auto, name in classes.items()},
    }
    _save_with_code(folder, config, "dasheng", DASHENG_CODE)
    extractor = {
        "feature_extractor_type": "DashengFeatureExtractor",
        "sampling_rate": 16_000,
        "auto_map": {"AutoFeatureExtractor": "dasheng.DashengFeatureExtractor"},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))
    return folder


def _save_with_code(folder: Path, config: dict[str, Any], name: str, code: str) -> None:
    import safetensors.torch

    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(code)
    (folder / "config.json").write_text(json.dumps(config))
    weights = {
        "inner.weight": torch.randn(16, 160, generator=torch.Generator().manual_seed(0)),
        "inner.bias": torch.zeros(16),
    }
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
