"""Ours against `panns_inference.models.Cnn14` called plainly, with the same weights."""

import copy
import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from musicflow.embedders import panns
from musicflow.embedders.weights import WeightsError
from musicflow_tests.embedders.similarity import centred_cosines, chords, cosines

RATE = panns.SPEC.sample_rate


def spec(precision):
    return dataclasses.replace(panns.SPEC, precision=precision, trained=False)


@pytest.fixture(scope="module")
def model():
    return panns.seeded_model()


@pytest.fixture(scope="module")
def exact(model):
    return panns.Panns(spec("fp32"), model.state_dict(), ("a tag",))


@pytest.fixture(scope="module")
def rounded(model):
    return panns.Panns(spec("bf16"), model.state_dict(), ("a tag",))


def upstream(model, audio):
    with torch.no_grad():
        said = model(torch.from_numpy(audio), None)
    return said["embedding"].numpy(), said["clipwise_output"].numpy()


# 1 s gives an odd number of frames in most blocks, 2.03 s another, 0.33 s the fewest there can be.
@pytest.mark.parametrize("seconds", [0.33, 1.0, 2.03])
def test_float32_gives_what_upstream_gives(model, exact, seconds):
    audio = chords(4, seconds, RATE)
    vectors, tags = upstream(model, audio)
    ours = exact.infer(audio)
    assert ours.vectors.shape == (4, 2048)
    assert ours.vectors.dtype == np.float32
    assert cosines(ours.vectors, vectors).min() >= 0.99999
    # The tracks' common part hides errors from the plain cosine: without it, too.
    assert centred_cosines(ours.vectors, vectors).min() >= 0.99999
    np.testing.assert_allclose(ours.tags, tags, atol=1e-4)


def test_bf16_stays_close_to_float32(exact, rounded):
    audio = chords(4, 1.0, RATE)
    fine, coarse = exact.infer(audio), rounded.infer(audio)
    assert cosines(fine.vectors, coarse.vectors).min() >= 0.999
    assert centred_cosines(coarse.vectors, fine.vectors).min() >= 0.99
    assert not np.array_equal(fine.vectors, coarse.vectors)


def test_a_window_gets_the_same_vector_alone_and_in_a_batch(rounded, exact):
    audio = chords(3, 0.5, RATE)
    for embedder in (exact, rounded):
        together = embedder.infer(audio).vectors
        alone = np.concatenate([embedder.infer(window[None]).vectors for window in audio])
        assert cosines(together, alone).min() >= 0.99999


def test_a_batch_is_cut_into_parts_that_come_back_in_order(exact, monkeypatch):
    audio = chords(3, 0.5, RATE)
    together = exact.infer(audio)
    monkeypatch.setattr(panns, "_SAMPLES_AT_ONCE", RATE)
    np.testing.assert_allclose(exact.infer(audio).vectors, together.vectors, rtol=1e-4, atol=1e-4)


def test_a_track_is_the_mean_of_its_windows_by_their_length(model):
    short = dataclasses.replace(spec("fp32"), window_s=1.0, hop_s=1.0, min_s=0.4)
    embedder = panns.Panns(short, model.state_dict(), ())
    audio = chords(1, 2.5, RATE)[0]
    first, second, rest = (
        embedder.infer(part[None]).vectors[0] for part in np.split(audio, [RATE, 2 * RATE])
    )
    expected = (first + second + 0.5 * rest) / 2.5
    np.testing.assert_allclose(embedder.embed(audio, 32_000), expected, rtol=1e-3, atol=1e-4)


def test_silence_gives_numbers(rounded):
    assert np.isfinite(rounded.infer(np.zeros((1, RATE), np.float32)).vectors).all()


def test_seeded_weights_are_the_same_every_time_and_tell_tracks_apart(model, exact):
    again = panns.seeded_model().state_dict()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(again[name], tensor)
    vectors = exact.infer(chords(4, 1.0, RATE)).vectors
    assert 0.01 < vectors.std() < 100
    assert cosines(vectors[:-1], vectors[1:]).max() < 0.99


def test_untrained_runs_say_nothing_of_tags_and_fetch_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(panns, "seeded_model", lambda: model)
    embedder = panns.load(spec("fp32"), tmp_path)
    assert embedder.tag_names == ()
    assert embedder.infer(chords(1, 1.0, RATE)).tags is None
    assert list(tmp_path.iterdir()) == []


# The state of each sampler that upstream's `main.py` may train with, as `data_generator.py` has it.
INDEXES = [np.arange(class_, 40, 7) for class_ in range(5)]
PLAIN = {"indexes": np.random.default_rng(0).permutation(40), "pointer": np.int64(12)}
BALANCED = {
    "indexes_per_class": INDEXES,
    "queue": [3, 1, 4],
    "pointers_of_classes": [0, 2, np.int64(1), 0, 0],
}
SAMPLERS = {
    "none": PLAIN,
    "balanced": BALANCED,
    "alternate": {"sampler1": PLAIN, "sampler2": BALANCED},
}


@pytest.mark.parametrize("new", [False, True], ids=["old format", "new format"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_checkpoint_loads_as_upstreams_training_saves_it(model, tmp_path, sampler, new):
    # It moves the module to a GPU where there is one.
    parallel = torch.nn.DataParallel(copy.deepcopy(model))
    saved = {
        "iteration": 600_000,
        "model": parallel.module.state_dict(),
        "sampler": SAMPLERS[sampler],
    }
    path = tmp_path / "Cnn14.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=new)
    loaded = panns.trained_weights(path)
    path.unlink()
    for name, tensor in loaded.items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / "broken.pth"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"broken\.pth"):
        panns.trained_weights(path)
    torch.save({"model": {"fc1.weight": torch.zeros(2048, 2048)}}, path)
    with pytest.raises(WeightsError, match=r"logmel_extractor\.melW is missing"):
        panns.trained_weights(path)


def wheel(path, names):
    rows = [f'{i},/m/{i},"{name}"' for i, name in enumerate(names)]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "epanns/config/audioset_labels.csv", "\n".join(["index,mid,display_name", *rows])
        )
    return path


def test_labels_come_in_the_order_of_the_outputs(tmp_path):
    names = [f"Sound {i}, distant" for i in range(527)]
    assert panns.read_labels(wheel(tmp_path / "a.whl", names)) == tuple(names)


def test_a_wheel_without_the_527_labels_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="526"):
        panns.read_labels(wheel(tmp_path / "a.whl", map(str, range(526))))
    (tmp_path / "b.whl").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"b\.whl"):
        panns.read_labels(tmp_path / "b.whl")


def test_neither_import_nor_load_shells_out_or_writes_in_the_home(tmp_path):
    program = """
import os, subprocess, sys
def refuse(*args, **kwargs):
    raise AssertionError(f"shelled out: {args}")
os.system = refuse
from musicflow.embedders import panns
assert "torch" not in sys.modules, "importing the model file imports torch"
panns.upstream_class()
assert "panns_inference" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={
            "HOME": str(tmp_path),
            "PATH": "",
            "MPLCONFIGDIR": str(tmp_path / "mpl"),
            "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        },
        cwd=Path(panns.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "panns_data").exists()


@pytest.mark.slow
def test_thirty_seconds_agree_too(model, exact, rounded):
    audio = chords(1, 30.0, RATE)
    vectors, _ = upstream(model, audio)
    assert cosines(exact.infer(audio).vectors, vectors).min() >= 0.99999
    assert cosines(rounded.infer(audio).vectors, vectors).min() >= 0.999
