"""Models of transformers as embedders, beside a plain call of transformers on the same windows."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from musicflow import embedders, worker
from musicflow.embedders import EmbedderError
from musicflow.embedders.adapters import repository
from musicflow.embedders.spec import windows_of
from musicflow.settings import Settings
from musicflow_tests.embedders.adapters import models
from musicflow_tests.embedders.similarity import chords, cosines

NOWHERE = Path("unused")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for kind in models.MAKERS:
        models.save(kind, root / kind)
    return root


def plain_states(folder: Path, windows: np.ndarray, rate: int) -> dict[str, Any]:
    """Every layer of a model that takes windows by its extractor, one call of transformers each."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    found: dict[str, list[torch.Tensor]] = {}
    for window in windows:
        inputs = extractor(window, sampling_rate=rate, return_tensors="pt")
        kind = model.config.model_type
        with torch.inference_mode():
            if kind == "clap":
                inputs["is_longer"] = torch.zeros(1, 1, dtype=torch.bool)
                whole = model.get_audio_features(**inputs, output_hidden_states=True)
                layers = {"projection": whole.pooler_output}
                states = [state.flatten(2).transpose(1, 2) for state in whole.hidden_states]
                layers["pooler"] = model.audio_model(**inputs).pooler_output
            else:
                called = model.get_encoder() if kind == "whisper" else model
                whole = called(**inputs, output_hidden_states=True)
                special = 2 if "spectrogram" in kind else 0
                states = [state[:, special:] for state in whole.hidden_states]
                layers = {"last": whole.last_hidden_state[:, special:].mean(1)}
                layers["mean"] = torch.stack([state.mean(1) for state in states]).mean(0)
                if special:
                    layers["pooler"] = whole.pooler_output
        layers |= {str(number): state.mean(1) for number, state in enumerate(states)}
        for name, vector in layers.items():
            found.setdefault(name, []).append(vector)
    return {name: torch.cat(vectors).numpy() for name, vectors in found.items()}


TRANSFORMERS = ("wav2vec2", "hubert", "wavlm", "data2vec", "ast", "clap", "clap-fused", "whisper")


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_every_layer_is_that_of_a_plain_call(kind: str, folders: Path) -> None:
    spec = embedders.spec_of(f"hub:{folders / kind}")
    if kind in ("ast", "clap", "clap-fused", "whisper"):
        audio = np.concatenate(chords(2, spec.window_s, spec.sample_rate))
        windows = np.stack(list(windows_of([audio], spec))[:2])
    else:
        # The others take sound of any length.
        windows = chords(2, 2.0, spec.sample_rate)
    wanted = plain_states(folders / kind, windows, spec.sample_rate)
    assert spec.layer in wanted
    embedder = embedders.load(spec, NOWHERE)
    for layer, vectors in wanted.items():
        one = embedders.spec_of(f"hub:{folders / kind}#{layer}")
        assert one.dim == vectors.shape[1]
        embedder.spec = one
        assert cosines(embedder.infer(windows).vectors, vectors).min() >= 0.99999, layer


@pytest.mark.parametrize("kind", ["wav2vec2", "ast", "whisper", "clap"])
def test_one_pass_gives_every_layer(kind: str, folders: Path) -> None:
    spec = embedders.spec_of(f"mine=hub:{folders / kind}")
    whole = embedders.load(embedders.all_layers(spec), NOWHERE)
    windows = chords(2, 1.0, spec.sample_rate)
    found, start = whole.infer(windows).vectors, 0
    layers = embedders.layers_of(spec)
    assert spec in layers
    assert len({layer.name for layer in layers}) == len(layers) > 3
    embedder = embedders.load(spec, NOWHERE)
    for layer in layers:
        embedder.spec = layer
        alone = embedder.infer(windows).vectors
        part = found[:, start : (start := start + layer.dim)]
        assert cosines(alone, part).min() >= 0.99999, layer.layer


def test_a_model_whose_layers_need_runs_of_their_own_has_one(folders: Path) -> None:
    spec = embedders.spec_of(f"hub:{folders / 'encodec'}")
    assert embedders.layers_of(spec) == [spec]
    windows = chords(1, 1.0, spec.sample_rate)
    embedder = embedders.load(spec, NOWHERE)
    [(name, vectors)] = embedder.layers(windows).vectors.items()
    assert name == "encoder"
    np.testing.assert_array_equal(vectors, embedder.infer(windows).vectors)


TEXTS = ["slow piano, rain", "brass", "a", "piano " * 400]


@pytest.mark.parametrize("kind", ["clap", "clap-fused"])
def test_words_have_the_vectors_of_a_plain_call(kind: str, folders: Path) -> None:
    spec = embedders.spec_of(f"hub:{folders / kind}")
    model = transformers.AutoModel.from_pretrained(folders / kind).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders / kind)
    wanted = []
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)
        with torch.inference_mode():
            wanted.append(model.get_text_features(**inputs).pooler_output.numpy())
    found = embedders.infer_text(embedders.load(spec, NOWHERE), TEXTS)
    assert (found.shape, found.dtype) == ((len(TEXTS), spec.dim), np.float32)
    assert cosines(found, np.concatenate(wanted)).min() >= 0.99999
    # The words decide: two of them are not alike.
    assert cosines(found[:1], found[1:2]).max() < 0.9999


def test_words_lie_in_the_space_of_claps_projection_alone(folders: Path) -> None:
    assert embedders.spec_of(f"hub:{folders / 'clap'}").text
    for name in (f"hub:{folders / 'clap'}#pooler", f"hub:{folders / 'hubert'}", "mfcc"):
        spec = embedders.spec_of(name)
        assert not spec.text
        with pytest.raises(EmbedderError, match="has no text side") as caught:
            embedders.infer_text(embedders.load(spec, NOWHERE), ["rain"])
        assert caught.value.code == embedders.NO_TEXT


def test_a_text_side_changes_no_identity() -> None:
    spec = embedders.spec_of("mfcc")
    assert replace(spec, text=True).hash == spec.hash
    assert replace(spec, text=True).former_hashes == spec.former_hashes


@pytest.mark.parametrize(
    ("content", "sentence"), [("", "holds no tokenizer.json"), ("{", "cannot be loaded")]
)
def test_without_a_tokenizer_audio_is_embedded_and_text_is_one_sentence(
    content: str, sentence: str, folders: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders / "clap", tmp_path / "clap")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
    if content:
        (folder / "tokenizer.json").write_text(content)
    embedder = embedders.load(embedders.spec_of(f"hub:{folder}"), NOWHERE)
    assert embedders.infer(embedder, chords(1, 10.0, 48_000)).vectors.shape == (1, 24)
    with pytest.raises(EmbedderError, match=sentence) as caught:
        embedders.infer_text(embedder, ["rain"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["encodec", "encodec-stereo", "dac"])
def test_a_codec_gives_what_enters_its_quantizer(kind: str, folders: Path) -> None:
    spec = embedders.spec_of(f"hub:{folders / kind}")
    windows = chords(2, 1.0, spec.sample_rate)
    model = transformers.AutoModel.from_pretrained(folders / kind).eval()
    seen: list[torch.Tensor] = []
    model.encoder.register_forward_hook(lambda _module, _given, output: seen.append(output))
    channels = getattr(model.config, "audio_channels", 1)
    with torch.inference_mode():
        model.encode(torch.from_numpy(windows)[:, None].repeat(1, channels, 1))
    found = embedders.load(spec, NOWHERE).infer(windows).vectors
    assert found.shape == (2, spec.dim)
    assert cosines(found, seen[0].mean(2).numpy()).min() >= 0.99999


@pytest.mark.parametrize(
    ("kind", "rate", "window_s", "hop_s"),
    [
        ("wav2vec2", 16_000, 10.0, 10.0),
        ("ast", 16_000, 10.255, 10.24),
        ("clap", 48_000, 10.0, 10.0),
        ("whisper", 16_000, 30.0, 30.0),
        ("encodec", 24_000, 10.0, 10.0),
    ],
)
def test_a_window_fills_the_models_input(
    kind: str, rate: int, window_s: float, hop_s: float, folders: Path
) -> None:
    spec = embedders.spec_of(f"hub:{folders / kind}")
    assert (spec.sample_rate, spec.window_s, spec.hop_s) == (rate, window_s, hop_s)


@pytest.mark.parametrize("kind", ["wav2vec2", "clap", "clap-fused", "whisper"])
def test_a_window_alone_and_in_a_batch_are_alike(kind: str, folders: Path) -> None:
    embedder = embedders.load(embedders.spec_of(f"hub:{folders / kind}"), NOWHERE)
    windows = chords(3, embedder.spec.window_s, embedder.spec.sample_rate)
    alone = np.concatenate([embedder.infer(window[None]).vectors for window in windows])
    for _ in range(2):
        assert cosines(alone, embedder.infer(windows).vectors).min() >= 0.99999


def test_silence_that_fills_whispers_input_does_not_count(folders: Path) -> None:
    embedder = embedders.load(embedders.spec_of(f"hub:{folders / 'whisper'}#0"), NOWHERE)
    audio = chords(1, 30.0, 16_000)
    audio[:, 6 * 16_000 :] = 0
    long, short = (embedder.infer(audio[:, : 16_000 * s]).vectors for s in (30, 6))
    assert cosines(long, short).min() < 0.9999
    extractor = transformers.WhisperFeatureExtractor()
    features = extractor(audio[0, : 16_000 * 6], sampling_rate=16_000, return_tensors="pt")
    encoder = transformers.WhisperModel.from_pretrained(folders / "whisper").eval().get_encoder()
    with torch.inference_mode():
        state = encoder(features.input_features, output_hidden_states=True).hidden_states[0]
    assert cosines(short, state[:, :300].mean(1).numpy()).min() >= 0.99999


def test_naming_a_model_imports_no_framework(folders: Path) -> None:
    import subprocess
    import sys

    code = (
        f"import sys; from musicflow import embedders; embedders.spec_of('hub:{folders / 'ast'}');"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("layer", ["4", "-1", "encoder", "x"])
def test_a_layer_that_is_not_there_is_an_error_that_names_those_that_are(
    layer: str, folders: Path
) -> None:
    with pytest.raises(EmbedderError, match=r"no layer .*: there are last, mean and 0 to 3"):
        embedders.spec_of(f"hub:{folders / 'hubert'}#{layer}")


def test_other_weights_settings_and_layers_are_other_specs(folders: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folders / "hubert", tmp_path / "hubert")
    hashes = {embedders.spec_of(f"hub:{folders / 'hubert'}").hash}
    before = embedders.spec_of(f"hub:{folder}")
    hashes |= {before.hash, embedders.spec_of(f"hub:{folder}#2").hash}
    # The same content in another folder of the same name is the same embedder.
    assert len(hashes) == 2
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    hashes.add(embedders.spec_of(f"hub:{folder}").hash)
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | {"do_normalize": False}))
    hashes.add(embedders.spec_of(f"hub:{folder}").hash)
    assert len(hashes) == 4
    with pytest.raises(EmbedderError, match="instead of"):
        embedders.load(before, NOWHERE)


def test_seeded_weights_are_the_same_every_time(folders: Path) -> None:
    spec = embedders.untrained(embedders.spec_of(f"hub:{folders / 'hubert'}"))
    assert spec.reference == f"hub:{folders / 'hubert'}-untrained"
    assert embedders.spec_of(spec.reference) == spec
    windows = chords(1, 1.0, 16_000)
    first, second = (embedders.load(spec, NOWHERE).infer(windows).vectors for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_code_of_a_repository_runs_only_if_a_person_allowed_it(tmp_path: Path) -> None:
    folder = models.save_remote(tmp_path / "odd")
    refused = embedders.spec_of(f"hub:{folder}")
    with pytest.raises(EmbedderError, match="runs code of its own, which nobody allowed") as caught:
        embedders.load(refused, NOWHERE)
    assert caught.value.code == "remote-code"
    settings = Settings(aliases={"odd": {"from": f"hub:{folder}", "trust_remote_code": True}})
    spec = embedders.spec_for("odd", settings)
    assert "runs code of its repository" in spec.summary
    assert "runs code" not in refused.summary
    windows = chords(2, 1.0, 16_000)
    found = embedders.load(spec, NOWHERE).infer(windows).vectors
    weights = torch.randn(16, 160, generator=torch.Generator().manual_seed(0))
    scaled = (windows - windows.mean(1, keepdims=True)) / windows.std(1, keepdims=True)
    frames = torch.from_numpy(scaled).unfold(1, 160, 160)
    assert cosines(found, torch.tanh(frames @ weights.T).mean(1).numpy()).min() >= 0.99999


def test_a_window_does_not_hear_the_loudest_of_its_batch(tmp_path: Path) -> None:
    folder = models.save_dasheng(tmp_path / "dasheng")
    spec = embedders.spec_of(f"hub:{folder}?trust_remote_code")
    assert (spec.dim, spec.layer, spec.sample_rate) == (16, "last", 16_000)
    embedder = embedders.load(spec, NOWHERE)
    windows = chords(3, 2.0, 16_000)
    together = embedder.infer(windows).vectors
    model = transformers.AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    extract = transformers.AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
    with torch.inference_mode():
        alone = [model(**extract([window])).hidden_states.mean(1) for window in windows]
        padded = model(**extract(list(windows))).hidden_states.mean(1)
    assert cosines(together, torch.cat(alone).numpy()).min() >= 0.99999
    assert not np.allclose(together, padded.numpy(), rtol=0.01)


def test_other_code_is_another_spec(tmp_path: Path) -> None:
    folder = models.save_remote(tmp_path / "odd")
    before = embedders.spec_of(f"hub:{folder}").hash
    (folder / "odd.py").write_text(models.REMOTE_CODE + "# changed\n")
    assert embedders.spec_of(f"hub:{folder}").hash != before


@pytest.mark.parametrize("name", ["hub:laion/larger_clap_music", "x=hub:laion/larger_clap_music#3"])
def test_the_broken_conversion_of_clap_is_refused_by_name(name: str) -> None:
    with pytest.raises(EmbedderError, match="broken conversion") as caught:
        embedders.spec_of(name)
    assert caught.value.code == "refused"


def damage(what: str, folder: Path) -> None:
    if what == "config":
        (folder / "config.json").write_text("{")
    elif what == "no config":
        (folder / "config.json").unlink()
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "weights":
        (folder / "model.safetensors").write_bytes(b"nothing")
    elif what == "no rate":
        (folder / "preprocessor_config.json").unlink()
    elif what == "deeper":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 4}))


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("config", "config.json cannot be read"),
        ("no config", "holds no config.json: name a folder that transformers saved"),
        ("no weights", "holds no model*.safetensors and no pytorch_model*.bin"),
        ("weights", "cannot be loaded"),
        ("no rate", "says no sampling_rate"),
        ("deeper", "do not fill the model"),
    ],
)
def test_a_broken_folder_is_one_sentence(
    what: str, sentence: str, folders: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(folders / "hubert", tmp_path / "hubert")
    damage(what, folder)
    with pytest.raises(EmbedderError) as caught:
        embedders.load(embedders.spec_of(f"hub:{folder}"), NOWHERE)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The hub's cache as its client leaves it, and no network."""
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "hub" / "models--someone--hubert"
    shutil.copytree(folders / "hubert", place / "snapshots" / commit)
    card = "---\nlicense: cc-by-nc-4.0\n---\n# A model\n"
    (place / "snapshots" / commit / "README.md").write_text(card)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository._of_hub.cache_clear()
    yield place
    repository._of_hub.cache_clear()


def test_what_was_fetched_from_the_hub_is_used_without_a_network(hub: Path, folders: Path) -> None:
    spec = embedders.spec_of("hub:someone/hubert#2")
    assert spec.label == "hub_someone_hubert_2"
    assert spec.licence == "cc-by-nc-4.0"
    assert spec.revision == next((hub / "snapshots").iterdir()).name
    assert embedders.spec_of(f"hub:someone/hubert@{spec.revision}#2").weights == spec.weights
    embedders.fetch(spec, NOWHERE)
    windows = chords(1, 1.0, 16_000)
    local = embedders.spec_of(f"hub:{folders / 'hubert'}#2")
    found, wanted = (embedders.load(one, NOWHERE).infer(windows).vectors for one in (spec, local))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["hub:someone/other", "hub:someone/hubert@0000000", "hub:a/b/c/d"])
def test_what_cannot_be_fetched_is_one_sentence_with_the_way_round(name: str, hub: Path) -> None:
    assert hub.is_dir()
    with pytest.raises(EmbedderError, match="could not be fetched from the Hugging Face hub") as e:
        embedders.spec_of(name)
    assert "\n" not in str(e.value)
    assert "hub:FOLDER" in str(e.value)


def names_in_worker(name: str) -> Iterator[tuple[str, str]]:
    spec = embedders.spec_of(name)
    yield embedders.load(spec, NOWHERE).spec.label, spec.hash


@pytest.mark.workers
@pytest.mark.slow
def test_the_process_that_embeds_finds_the_model_by_its_reference(folders: Path) -> None:
    spec = embedders.spec_of(f"mine=hub:{folders / 'hubert'}#2")
    [found] = worker.iterate("a worker", names_in_worker, spec.reference)
    assert found == ("mine", spec.hash)
