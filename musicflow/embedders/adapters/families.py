"""Kinds of models of transformers: what their configs say, and how their layers are read.

A family is found by ``model_type`` of ``config.json``. All it needs of a model before it is loaded
are two JSON files. So naming an embedder imports no framework and runs no code of a repository.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from musicflow.embedders.errors import EmbedderError

if TYPE_CHECKING:
    from torch import Tensor

Facts = Mapping[str, Any]
"""A JSON file."""

LAST = "last"
MEAN = "mean"

EVERY = "*"
"""No layer, but a run for all of them."""

SPEECH_WINDOW_S = 10.0


@dataclass(frozen=True)
class Family:
    """Models whose hidden states have the shape ``(B, T, D)``: wav2vec2, HuBERT, WavLM, and others.

    Parameters
    ----------
    config, extractor
        ``config.json``, and the feature extractor's file.
    """

    config: Facts
    extractor: Facts

    named: ClassVar[tuple[str, ...]] = (LAST, MEAN)
    """Layers that have a name, the default first. `MEAN` is that of all numbered ones."""

    whole: ClassVar[str] = MEAN
    """The layer to run for that gives all others as well; empty where none does."""

    text_layer: ClassVar[str] = ""
    """The layer whose space words share; empty where the model takes no words."""

    @property
    def sample_rate(self) -> int:
        """Return the rate in hertz."""
        return int(self._of(self.extractor, "sampling_rate"))

    @property
    def window_s(self) -> float:
        """Return the seconds of a window."""
        return SPEECH_WINDOW_S

    @property
    def hop_s(self) -> float:
        """Return the seconds from one window to the next."""
        return self.window_s

    @property
    def layers(self) -> int:
        """Return the number of the last hidden state; 0 is what enters the first layer."""
        return int(self._of(self.config, "num_hidden_layers"))

    def dim(self, layer: str) -> int:  # noqa: ARG002
        """Return the length of a layer's vector."""
        return int(self._of(self.config, "hidden_size"))

    def checked(self, layer: str) -> str:
        """Return a layer, the default one for an empty text.

        Raises
        ------
        EmbedderError
            If the model has no such layer.
        """
        layer = layer or self.named[0]
        numbers = self.layers
        if layer in self.named or (layer.isdecimal() and int(layer) <= numbers):
            return layer
        known = ", ".join(self.named) + (f" and 0 to {numbers}" if numbers >= 0 else "")
        raise EmbedderError(f"there is no layer {layer!r}", f"there are {known}")

    @property
    def dims(self) -> dict[str, int]:
        """Return the dims of all layers that one run gives, lowest first; empty if none can."""
        names = (*map(str, range(self.layers + 1)), *self.named)
        return {name: self.dim(name) for name in names} if self.whole else {}

    def inputs(self, extractor: Any, audio: "Tensor") -> dict[str, "Tensor"]:
        """Return what the model takes, from windows of one length: nothing is padded."""
        rate = self.sample_rate
        return dict(extractor(list(audio.cpu().numpy()), sampling_rate=rate, return_tensors="pt"))

    def run(self, model: Any, inputs: dict[str, "Tensor"], layer: str) -> Any:
        """Return the model's output, with hidden states if the layer needs them."""
        return model(**inputs, output_hidden_states=layer not in self.named or layer == MEAN)

    def vectors(self, output: Any, layer: str, samples: int) -> "Tensor":
        """Return a layer's vectors ``(B, D)`` from an output of the model.

        Parameters
        ----------
        output
            See `run`.
        layer
            See `checked`.
        samples
            Length of the windows.
        """
        if layer == MEAN:
            states = [self._over_time(state, samples) for state in output.hidden_states]
            return sum(states[1:], states[0]) / len(states)
        last = layer == LAST
        state = output.last_hidden_state if last else output.hidden_states[int(layer)]
        return self._over_time(state, samples)

    @property
    def text_length(self) -> int:
        """Return the most tokens of a text."""
        raise NotImplementedError

    def text_vectors(self, model: Any, inputs: Mapping[str, "Tensor"]) -> "Tensor":
        """Return the vectors ``(B, D)`` of texts, from what a tokenizer made of them."""
        raise NotImplementedError

    def _over_time(self, state: "Tensor", samples: int) -> "Tensor":  # noqa: ARG002
        return state.float().mean(dim=1)

    def _of(self, facts: Facts, name: str) -> Any:
        if name not in facts:
            file = "config.json" if facts is self.config else "preprocessor_config.json"
            raise EmbedderError(f"{file} says no {name}")
        return facts[name]


class Ast(Family):
    """Audio Spectrogram Transformer: 1024 frames of 10 ms; two tokens stand before the patches."""

    named: ClassVar[tuple[str, ...]] = ("pooler", LAST, MEAN)

    @property
    def window_s(self) -> float:
        """Return the seconds that fill the model's input: frames of 25 ms, one every 10 ms."""
        return (int(self.extractor.get("max_length", 1024)) - 1) * 0.010 + 0.025

    @property
    def hop_s(self) -> float:
        """Return the seconds of all frames."""
        return int(self.extractor.get("max_length", 1024)) * 0.010

    def vectors(self, output: Any, layer: str, samples: int) -> "Tensor":
        """See `Family.vectors`."""
        if layer == "pooler":
            return output.pooler_output.float()
        return super().vectors(output, layer, samples)

    def _over_time(self, state: "Tensor", samples: int) -> "Tensor":
        return super()._over_time(state[:, 2:], samples)


class Clap(Family):
    """CLAP: the projection into the space it shares with words, and HTSAT's stages below it.

    Windows have the length of the model's input. Longer audio would be cropped at random
    (github.com/LAION-AI/CLAP, issue 166).
    """

    named: ClassVar[tuple[str, ...]] = ("projection", "pooler")
    whole: ClassVar[str] = EVERY
    text_layer: ClassVar[str] = "projection"

    @property
    def window_s(self) -> float:
        """Return the seconds of the model's input."""
        return float(self.extractor.get("max_length_s", 10))

    @property
    def dims(self) -> dict[str, int]:
        """Return the dims of all layers; the projection is the topmost."""
        names = (*map(str, range(self.layers + 1)), "pooler", "projection")
        return {name: self.dim(name) for name in names}

    @property
    def layers(self) -> int:
        """Return the number of the last stage."""
        return len(self.config.get("audio_config", {}).get("depths", (2, 2, 6, 2)))

    def dim(self, layer: str) -> int:
        """Return the length of a layer's vector."""
        if layer == "projection":
            return int(self.config.get("projection_dim", 512))
        width = int(self.config.get("audio_config", {}).get("patch_embeds_hidden_size", 96))
        # Stages halve the picture and double the width, except the last.
        stage = self.layers if layer == "pooler" else int(layer)
        return width * 2 ** min(stage, self.layers - 1)

    def inputs(self, extractor: Any, audio: "Tensor") -> dict[str, "Tensor"]:
        """Return what the model takes; of windows that fit, none counts as longer."""
        inputs = super().inputs(extractor, audio)
        if "is_longer" in inputs:
            # The extractor of the fused kind calls one window of a batch longer, at random.
            inputs["is_longer"][:] = False
        return inputs

    def run(self, model: Any, inputs: dict[str, "Tensor"], layer: str) -> Any:
        """Return the audio side's layers, by name."""
        from torch.nn.functional import normalize

        if layer == "projection":
            return {layer: self._projected(model.get_audio_features(**inputs))}
        output = model.audio_model(**inputs, output_hidden_states=True)
        found = {str(number): state for number, state in enumerate(output.hidden_states)}
        found["pooler"] = output.pooler_output
        if layer == EVERY:
            found["projection"] = normalize(model.audio_projection(output.pooler_output), dim=-1)
        return found

    def vectors(self, output: Any, layer: str, samples: int) -> "Tensor":  # noqa: ARG002
        """See `Family.vectors`; the stages are averaged over time and frequency."""
        state: Tensor = output[layer].float()
        return state if layer in self.named else state.mean(dim=(2, 3))

    @property
    def text_length(self) -> int:
        """Return the most tokens of a text; two positions of RoBERTa's stand for no token."""
        return int(self.config.get("text_config", {}).get("max_position_embeddings", 514)) - 2

    def text_vectors(self, model: Any, inputs: Mapping[str, "Tensor"]) -> "Tensor":
        """See `Family.text_vectors`."""
        taken = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        return self._projected(model.get_text_features(**taken))

    def _projected(self, output: Any) -> "Tensor":
        # Before transformers 5, the projection came as it is.
        vectors: Tensor = getattr(output, "pooler_output", output).float()
        return vectors


class Whisper(Family):
    """Whisper's encoder, which takes 30 s; only frames of the window count."""

    @property
    def window_s(self) -> float:
        """Return the seconds of the model's input."""
        return float(self.extractor.get("chunk_length", 30))

    @property
    def layers(self) -> int:
        """Return the number of the encoder's last layer."""
        return int(self._of(self.config, "encoder_layers"))

    def dim(self, layer: str) -> int:  # noqa: ARG002
        """Return the length of a layer's vector."""
        return int(self._of(self.config, "d_model"))

    def run(self, model: Any, inputs: dict[str, "Tensor"], layer: str) -> Any:
        """Return the encoder's output."""
        encoder = model.get_encoder() if hasattr(model, "get_encoder") else model.encoder
        return super().run(encoder, {"input_features": inputs["input_features"]}, layer)

    def _over_time(self, state: "Tensor", samples: int) -> "Tensor":
        # The extractor fills a shorter window with silence.
        share = min(1.0, samples / (self.window_s * self.sample_rate))
        frames = max(1, round(share * state.shape[1]))
        return super()._over_time(state[:, :frames], samples)


class Codec(Family):
    """EnCodec and DAC: what enters the quantizer, ``(B, D, T)``."""

    named: ClassVar[tuple[str, ...]] = ("encoder",)
    whole: ClassVar[str] = ""

    @property
    def sample_rate(self) -> int:
        """Return the rate in hertz."""
        return int(self._of(self.config, "sampling_rate"))

    @property
    def layers(self) -> int:
        """Return -1: no layer has a number."""
        return -1

    def dim(self, layer: str) -> int:  # noqa: ARG002
        """Return the length of a vector; DAC's width doubles with each step."""
        if "encoder_hidden_size" in self.config:
            steps = len(self.config.get("downsampling_ratios", (2, 4, 8, 8)))
            return int(self.config["encoder_hidden_size"]) * 2**steps
        return int(self._of(self.config, "hidden_size"))

    def inputs(self, extractor: Any, audio: "Tensor") -> dict[str, "Tensor"]:  # noqa: ARG002
        """Return the audio in as many channels as the model takes, scaled if it asks for it."""
        channels = int(self.config.get("audio_channels", 1))
        waves = audio[:, None].expand(-1, channels, -1)
        if self.config.get("normalize", False):
            waves = waves / (audio.square().mean(dim=1).sqrt() + 1e-8)[:, None, None]
        return {"waves": waves}

    def run(self, model: Any, inputs: dict[str, "Tensor"], layer: str) -> Any:  # noqa: ARG002
        """Return the encoder's output."""
        return model.encoder(inputs["waves"])

    def vectors(self, output: Any, layer: str, samples: int) -> "Tensor":  # noqa: ARG002
        """See `Family.vectors`."""
        return output.float().mean(dim=2)


class Dasheng(Family):
    """Dasheng, by code of its own: its output is ``(B, T, D)`` in ``hidden_states``.

    Its extractor limits levels by the loudest of a batch, so that each window is taken alone.
    """

    named: ClassVar[tuple[str, ...]] = (LAST,)
    whole: ClassVar[str] = ""

    _DIMS: ClassVar = {"dasheng-base": 768, "dasheng-0.6B": 1280, "dasheng-1.2B": 1536}

    @property
    def sample_rate(self) -> int:
        """Return the rate in hertz."""
        return int(self.extractor.get("sampling_rate", 16_000))

    @property
    def layers(self) -> int:
        """Return -1: no layer has a number."""
        return -1

    def dim(self, layer: str) -> int:  # noqa: ARG002
        """Return the length of a vector."""
        given = self.config.get("encoder_kwargs", {}).get("embed_dim")
        return int(given or self._DIMS[self._of(self.config, "name")])

    def inputs(self, extractor: Any, audio: "Tensor") -> dict[str, "Tensor"]:
        """Return what the model takes, each window by itself."""
        import torch

        alone = [super(Dasheng, self).inputs(extractor, window[None]) for window in audio]
        return {name: torch.cat([one[name] for one in alone]) for name in alone[0]}

    def run(self, model: Any, inputs: dict[str, "Tensor"], layer: str) -> Any:  # noqa: ARG002
        """Return the model's output."""
        return model(**inputs)

    def vectors(self, output: Any, layer: str, samples: int) -> "Tensor":  # noqa: ARG002
        """See `Family.vectors`."""
        return output.hidden_states.float().mean(dim=1)


_FAMILIES: dict[str, type[Family]] = {
    "audio-spectrogram-transformer": Ast,
    "clap": Clap,
    "whisper": Whisper,
    "encodec": Codec,
    "dac": Codec,
    "dasheng": Dasheng,
}


def family_of(config: Facts, extractor: Facts) -> Family:
    """Return the family of a model."""
    return _FAMILIES.get(str(config.get("model_type")), Family)(config, extractor)
