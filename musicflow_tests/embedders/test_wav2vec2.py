"""Ours against `transformers.Wav2Vec2Model` called plainly, with the same weights."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
import transformers

from musicflow.embedders import wav2vec2, wav2vec2_upstream
from musicflow.embedders.weights import WeightsError
from musicflow.kernels import fused
from musicflow_tests.embedders.similarity import centred_cosines, chords, cosines

RATE = wav2vec2.SPEC.sample_rate


def spec(precision, layer="12"):
    return dataclasses.replace(wav2vec2.SPEC, precision=precision, layer=layer, trained=False)


@pytest.fixture(scope="module")
def model():
    return wav2vec2.seeded_model()


@pytest.fixture(scope="module")
def exact(model):
    return wav2vec2.Wav2Vec2(spec("fp32"), model.state_dict())


@pytest.fixture(scope="module")
def rounded(model):
    return wav2vec2.Wav2Vec2(spec("bf16"), model.state_dict())


def upstream(model, audio, layer=12):
    return upstream_layers(model, audio)[layer]


def upstream_layers(model, audio):
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True)
    inputs = extractor(list(audio), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        said = model(inputs.input_values, output_hidden_states=True)
    return [layer.mean(1).numpy() for layer in said.hidden_states]


# 0.05 s are two frames; 2.7 s of two tracks cross the pieces the convolutions are cut into. The
# ten seconds below cross those of the positional convolution.
@pytest.mark.parametrize("seconds", [0.05, 1.0, 2.7])
def test_float32_gives_what_upstream_gives(model, exact, seconds):
    audio = chords(2, seconds, RATE)
    ours = exact.infer(audio)
    assert ours.vectors.shape == (2, 768)
    assert ours.vectors.dtype == np.float32
    assert ours.tags is None
    theirs = upstream(model, audio)
    assert cosines(ours.vectors, theirs).min() >= 0.99999
    # The tracks' common part hides errors from the plain cosine: without it, too.
    assert centred_cosines(ours.vectors, theirs).min() >= 0.99999


@pytest.mark.parametrize("layer", [0, 7])
def test_any_layer_can_be_read(model, layer):
    audio = chords(3, 0.5, RATE)
    ours = wav2vec2.Wav2Vec2(spec("fp32", str(layer)), model.state_dict()).infer(audio).vectors
    assert centred_cosines(ours, upstream(model, audio, layer)).min() >= 0.99999


def test_one_pass_gives_every_layer(model, exact):
    audio = chords(3, 0.5, RATE)
    layers = exact.layers(audio).vectors
    assert {name: (3, dim) for name, dim in wav2vec2.ENTRY.layers.items()} == {
        name: layer.shape for name, layer in layers.items()
    }
    np.testing.assert_array_equal(layers["12"], exact.infer(audio).vectors)
    theirs = upstream_layers(model, audio)
    for name, layer in layers.items():
        assert centred_cosines(layer, theirs[int(name)]).min() >= 0.99999


@pytest.mark.parametrize("layer", ["13", "-1", "last", ""])
def test_a_layer_that_is_not_there_is_refused(model, layer):
    with pytest.raises(ValueError, match="layers 0 to 12"):
        wav2vec2.Wav2Vec2(spec("fp32", layer), model.state_dict())


@pytest.mark.slow
def test_bf16_stays_close_to_float32(exact, rounded):
    audio = chords(6, 1.0, RATE)
    fine, coarse = exact.infer(audio).vectors, rounded.infer(audio).vectors
    assert cosines(fine, coarse).min() >= 0.999
    assert centred_cosines(coarse, fine).min() >= 0.99
    assert not np.array_equal(fine, coarse)


@pytest.mark.slow
def test_a_torch_without_its_compilers_operators_gives_the_same(model, rounded, monkeypatch):
    monkeypatch.setattr(fused, "_can_fuse", lambda _: False)
    plain = wav2vec2.Wav2Vec2(spec("bf16"), model.state_dict())
    audio = chords(3, 1.0, RATE)
    assert centred_cosines(plain.infer(audio).vectors, rounded.infer(audio).vectors).min() >= 0.99


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loudness_and_offset_are_normalised_away(exact, rounded, precision):
    embedder = exact if precision == "fp32" else rounded
    audio = chords(3, 0.5, RATE)
    plain = embedder.infer(audio).vectors
    assert centred_cosines(embedder.infer(0.1 * audio + 0.3).vectors, plain).min() >= 0.999


def test_next_to_silence_is_scaled_as_upstream_scales_it(model, exact):
    audio = 1e-3 * chords(3, 0.5, RATE)
    theirs = upstream(model, audio)
    assert centred_cosines(exact.infer(audio).vectors, theirs).min() >= 0.99999


@pytest.mark.slow
def test_a_window_gets_the_same_vector_alone_and_in_a_batch(exact, rounded):
    audio = chords(3, 0.5, RATE)
    for embedder in (exact, rounded):
        together = embedder.infer(audio).vectors
        alone = np.concatenate([embedder.infer(window[None]).vectors for window in audio])
        assert cosines(together, alone).min() >= 0.9999


def test_a_batch_is_cut_into_parts_that_come_back_in_order(exact, monkeypatch):
    audio = chords(5, 0.5, RATE)
    together = exact.infer(audio).vectors
    monkeypatch.setattr(wav2vec2, "_SAMPLES_AT_ONCE", RATE)
    np.testing.assert_allclose(exact.infer(audio).vectors, together, atol=1e-4)


def test_silence_gives_numbers(rounded):
    assert np.isfinite(rounded.infer(np.zeros((1, RATE), np.float32)).vectors).all()


def test_seeded_weights_are_the_same_every_time_and_leave_the_dice_alone(model):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = wav2vec2.seeded_model().state_dict()
    assert torch.equal(torch.rand(3), expected)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again[name], tensor), name


def test_the_written_config_is_that_of_the_base_model():
    defaults = transformers.Wav2Vec2Config()  # documented as the configuration of the base model
    for name, value in wav2vec2_upstream.CONFIG.items():
        assert getattr(defaults, name) == value, name


SMALL = transformers.Wav2Vec2Config(
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=96,
    conv_dim=(32,) * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    codevector_dim=16,
    proj_codevector_dim=16,
    num_codevectors_per_group=8,
)


@pytest.fixture(scope="module")
def before_torch_2():
    """Upstream's model for training, its weight norm that of torch before 2.0.

    So `facebook/wav2vec2-base` was saved: heads beside the model, and ``weight_g``, ``weight_v``.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        whole = transformers.Wav2Vec2ForPreTraining(SMALL).eval()
    conv = whole.wav2vec2.encoder.pos_conv_embed.conv
    torch.nn.utils.parametrize.remove_parametrizations(conv, "weight")
    with warnings.catch_warnings(action="ignore"):
        torch.nn.utils.weight_norm(conv, "weight", dim=2)
    return whole


@pytest.mark.parametrize("new", [False, True], ids=["old format", "new format"])
def test_a_checkpoint_loads_as_upstream_saved_it(before_torch_2, tmp_path, new):
    state = before_torch_2.state_dict()
    assert {"wav2vec2.encoder.pos_conv_embed.conv.weight_g", "quantizer.codevectors"} < set(state)
    torch.save(state, tmp_path / "old.bin", _use_new_zipfile_serialization=new)
    loaded = wav2vec2.trained_weights(tmp_path / "old.bin", SMALL.to_dict())
    ours = wav2vec2.Wav2Vec2(spec("fp32", "2"), loaded, SMALL.to_dict())
    audio = chords(3, 0.5, RATE)
    theirs = upstream(before_torch_2.wav2vec2, audio, 2)
    assert centred_cosines(ours.infer(audio).vectors, theirs).min() >= 0.99999


def test_weights_that_lack_something_are_refused_by_name(tmp_path):
    state = wav2vec2.seeded_model(SMALL).state_dict()
    del state["encoder.layers.1.final_layer_norm.bias"]
    torch.save(state, tmp_path / "cut.bin")
    with pytest.raises(WeightsError, match=r"(?s)cut\.bin.*layers\.1\.final_layer_norm\.bias"):
        wav2vec2.trained_weights(tmp_path / "cut.bin", SMALL.to_dict())


@pytest.mark.parametrize("saved", [[], {"model": torch.zeros(1)}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, saved):
    torch.save(saved, tmp_path / "other.bin")
    with pytest.raises(WeightsError, match=r"other\.bin does not hold this wav2vec2"):
        wav2vec2.trained_weights(tmp_path / "other.bin", SMALL.to_dict())


@pytest.mark.slow
def test_ten_seconds_agree_too(model, exact, rounded):
    audio = chords(2, 10.0, RATE)
    theirs = upstream(model, audio)
    assert centred_cosines(exact.infer(audio).vectors, theirs).min() >= 0.99999
    assert cosines(rounded.infer(audio[:1]).vectors, theirs[:1]).min() >= 0.999
