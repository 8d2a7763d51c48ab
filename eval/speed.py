"""Speed: each upstream package, called as its own README calls it, beside ours.

Same audio, same weights, turn by turn in one process, so that a slow minute of the machine falls on
both; a process an embedder, so that none meets the libraries of another. Writes ``speed.json`` and
``speed.md``. With weights that are not in the cache both sides run the same seeded ones: that
changes what the vectors say, not what they cost.

    python eval/speed.py
    python eval/speed.py --audio song.flac --rounds 9 --only panns
"""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import io
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from musicflow import audio as decoding
from musicflow.embedders.spec import Embedder, EmbedderSpec, windows_of
from musicflow.kernels.convolution import Plain
from musicflow.settings import Settings

Vector = Callable[[np.ndarray], np.ndarray]
"""A whole clip at the model's rate, shape ``(n,)``, to its vector."""


class Sides(NamedTuple):
    """Upstream and ours, with the same weights loaded."""

    upstream: Vector
    ours: Embedder
    counted: Vector
    """The network by torch's plain operators, whose arithmetic can be counted."""


class Peer(NamedTuple):
    """One row of the comparison."""

    called: str
    """How upstream is called, for people."""
    needs: tuple[str, ...]
    """The packages upstream is made of."""
    sides: Callable[[EmbedderSpec, Path, Path], Sides]
    """Builds both sides from our spec, the weights' cache and a folder for scratch."""


def panns(spec: EmbedderSpec, cache: Path, scratch: Path) -> Sides:
    """`AudioTagging(checkpoint_path=…).inference(audio[None])`."""
    import torch

    from musicflow.embedders import panns as ours

    if spec.trained:
        checkpoint = ours.CHECKPOINT.fetch(cache)
    else:
        checkpoint = scratch / "Cnn14_seeded.pth"
        torch.save({"model": ours.seeded_model().state_dict()}, checkpoint)
    # The package reads its class list from the home while it is imported, and would run wget.
    data = scratch / "panns_data"
    data.mkdir()
    rows = "".join(f"\n{i},/m/{i},{i}" for i in range(527))
    (data / "class_labels_indices.csv").write_text(f"index,mid,display_name{rows}")
    home = os.environ.get("HOME")
    os.environ["HOME"] = str(scratch)
    try:
        package = importlib.import_module("panns_inference")
    finally:
        os.environ.pop("HOME")
        if home is not None:
            os.environ["HOME"] = home
    with contextlib.redirect_stdout(io.StringIO()):
        tagging = package.AudioTagging(checkpoint_path=str(checkpoint), device="cuda")

    def upstream(clip: np.ndarray) -> np.ndarray:
        _, embedding = tagging.inference(clip[None])
        return embedding[0]

    return Sides(upstream, ours.Panns(spec, ours.trained_weights(checkpoint), ()), upstream)


def wav2vec2(spec: EmbedderSpec, cache: Path, scratch: Path) -> Sides:  # noqa: ARG001
    """`Wav2Vec2Model(**extractor(audio))` on the clip in one piece, and the mean over time."""
    import torch
    import transformers

    from musicflow.embedders import wav2vec2 as ours
    from musicflow.embedders import wav2vec2_upstream

    model = wav2vec2_upstream.seeded_model()
    if spec.trained:
        model.load_state_dict(wav2vec2_upstream.trained_weights(ours.CHECKPOINT.fetch(cache)))
    extractor = transformers.Wav2Vec2FeatureExtractor(
        sampling_rate=spec.sample_rate, do_normalize=True
    )
    embedder = ours.Wav2Vec2(spec, model.state_dict())
    model.to(embedder.device)  # type: ignore[arg-type]

    def upstream(clip: np.ndarray) -> np.ndarray:
        inputs = extractor(clip, sampling_rate=spec.sample_rate, return_tensors="pt")
        with torch.no_grad():
            said = model(**inputs.to(embedder.device))
        return said.last_hidden_state.mean(dim=1)[0].cpu().numpy()

    return Sides(upstream, embedder, upstream)


def openl3(spec: EmbedderSpec, cache: Path, scratch: Path) -> Sides:
    """`openl3.get_audio_embedding(audio, sr)` at its default hop of 0.1 s, and the mean."""
    import openl3 as package
    from openl3.models import load_audio_embedding_model_from_path

    from musicflow.embedders import openl3 as ours

    spec = dataclasses.replace(spec, hop_s=0.1)
    weights = ours.weights_of(spec, cache)
    file = scratch / "openl3.h5"
    ours.write_weights(file, weights)
    model = load_audio_embedding_model_from_path(str(file), "mel128", spec.dim, frontend="kapre")

    def upstream(clip: np.ndarray) -> np.ndarray:
        vectors, _ = package.get_audio_embedding(
            clip, spec.sample_rate, model=model, hop_size=0.1, verbose=False
        )
        return vectors.mean(axis=0)

    with mock.patch.object(ours, "convolutions", Plain):
        # In float32: what is fused in bfloat16 is not counted.
        plain = ours.OpenL3(dataclasses.replace(spec, precision="fp32"), weights)
    return Sides(
        upstream, ours.OpenL3(spec, weights), partial(plain.embed, sample_rate=spec.sample_rate)
    )


def musicnn(spec: EmbedderSpec, cache: Path, scratch: Path) -> Sides:
    """`extractor(file, model="MSD_musicnn")` and the mean of its penultimate layer."""
    import soundfile
    from musicnn.extractor import extractor

    from musicflow.embedders import musicnn as ours

    file = scratch / "clip.wav"

    def upstream(clip: np.ndarray) -> np.ndarray:
        soundfile.write(file, clip, spec.sample_rate, subtype="FLOAT")
        with contextlib.redirect_stdout(io.StringIO()):
            _, _, features = extractor(str(file), model="MSD_musicnn", extract_features=True)
        return features["penultimate"].mean(axis=0)

    embedder = ours.load(dataclasses.replace(spec, trained=True), cache)
    return Sides(upstream, embedder, partial(embedder.embed, sample_rate=spec.sample_rate))


PEERS = {
    "musicnn": Peer("musicnn.extractor.extractor", ("musicnn", "tensorflow"), musicnn),
    "openl3": Peer("openl3.get_audio_embedding, hop 0.1 s", ("openl3", "tensorflow"), openl3),
    "panns": Peer(
        "panns_inference.AudioTagging.inference", ("panns_inference", "torchlibrosa"), panns
    ),
    "wav2vec2": Peer("transformers.Wav2Vec2Model", ("transformers",), wav2vec2),
}
"""A row is a name of ours and one function; a peer that is not installed is listed as such."""


def main() -> None:
    """Run the comparison."""
    options = _options()
    rows: dict[str, dict[str, Any]] = {}
    failed = False
    for name in options.only or PEERS:
        print(f"{name} …", file=sys.stderr, flush=True)
        # A fresh interpreter: TensorFlow beside torch is trouble enough with one model of each.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            row = process.submit(_row, name, options)
            # The others took minutes, which this one must not cost.
            if (error := row.exception()) is not None:
                failed = True
                rows[name] = {"upstream": PEERS[name].called, "not_measured": f"failed: {error!r}"}
            else:
                rows[name] = row.result()
    report = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python eval/speed.py --rounds {options.rounds}",
        "machine": _machine(options.threads),
        "audio": f"{options.audio or 'synthesised'}, {options.seconds:g} s",
        "rounds": options.rounds,
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.json").write_text(json.dumps(report, indent=2) + "\n")
    (options.out / "speed.md").write_text(text := _markdown(report))
    print(text)
    sys.exit(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--audio", type=Path, help="a file or folder (default: synthesised)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="NAME")
    parser.add_argument("--cache", type=Path, default=Settings().cache, help="folder of weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def prepare(peer: Peer) -> list[str]:
    """Make a process ready for a package; return the names of those that are not installed."""
    # It brings Triton, which crashes where TensorFlow is there already.
    importlib.import_module("torch.utils.flop_counter")
    # Upstream's layers are Keras 2's, which newer TensorFlow keeps in tf-keras.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    return [package for package in peer.needs if importlib.util.find_spec(package) is None]


def _row(name: str, options: argparse.Namespace) -> dict[str, Any]:
    import torch

    torch.set_num_threads(options.threads)
    peer = PEERS[name]
    if missing := prepare(peer):
        return {"upstream": peer.called, "not_measured": f"not installed: {', '.join(missing)}"}
    spec: EmbedderSpec = importlib.import_module(f"musicflow.embedders.{name}").SPEC
    if spec.weights is not None and not (options.cache / spec.weights.filename).exists():
        spec = dataclasses.replace(spec, trained=False)
    clip = _clip(options, spec.sample_rate)
    with tempfile.TemporaryDirectory() as scratch:
        sides = peer.sides(spec, options.cache, Path(scratch))
        window = next(windows_of([clip], spec))
        measured = {
            "upstream": peer.called,
            "weights": spec.weights_state,
            "precision": spec.precision,
            "device": sides.ours.device,
            "cosine_of_a_window": round(
                cosine(
                    sides.upstream(window), sides.ours.embed(window, sides.ours.spec.sample_rate)
                ),
                6,
            ),
            **_times(sides, clip, options.rounds),
        }
        windows = len(list(windows_of([clip], sides.ours.spec)))
        measured["ours_ms_per_window"] = round(measured["ours_ms"] / windows, 1)
        measured["gflop"] = round(_gflop(sides.counted, clip), 1)
        peak = measured["peak_gflops"] * measured["ours_ms"] / 1e3
        return measured | {"share_of_peak": round(measured["gflop"] / peak, 3)}


def _times(sides: Sides, clip: np.ndarray, rounds: int) -> dict[str, Any]:
    """Turn by turn: upstream, ours, a matrix product; the first turn is not counted."""
    times: dict[str, list[float]] = {"upstream": [], "ours": [], "gemm": []}
    gemm = _gemm(4096, sides.ours.spec.precision)
    for turn in range(rounds + 1):
        for name, work in (
            ("upstream", lambda: sides.upstream(clip)),
            ("ours", lambda: sides.ours.embed(clip, sides.ours.spec.sample_rate)),
            ("gemm", gemm),
        ):
            start = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - start)
    upstream, ours = (statistics.median(times[name]) for name in ("upstream", "ours"))
    return {
        "upstream_ms": round(1e3 * upstream, 1),
        "ours_ms": round(1e3 * ours, 1),
        "ratio": round(upstream / ours, 2),
        "ratios": [round(a / b, 2) for a, b in zip(times["upstream"], times["ours"], strict=True)],
        "peak_gflops": round(2 * 4096**3 / min(times["gemm"]) / 1e9),
    }


def _gemm(size: int, precision: str) -> Callable[[], Any]:
    """A square matrix product: the most this machine is seen to compute in that precision."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.randn(size, size, device=device)
    a = a.bfloat16() if precision == "bf16" else a

    def work() -> None:
        (a @ a)[0, 0].item()

    return work


def _gflop(counted: Vector, clip: np.ndarray) -> float:
    """Matrix products and convolutions of the network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    # The counter does not know the attention of processors.
    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    known = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        counted(clip)
    return counter.get_total_flops() / 1e9


def _clip(options: argparse.Namespace, rate: int) -> np.ndarray:
    wanted = round(options.seconds * rate)
    if options.audio is None:
        return _synthesised(wanted, rate)
    paths = [options.audio]
    if options.audio.is_dir():
        paths = sorted(
            path
            for path in options.audio.rglob("*")
            if path.suffix.lower() in decoding.AUDIO_SUFFIXES
        )
    blocks = np.concatenate(list(_until(wanted, paths, rate)))
    if len(blocks) < wanted:
        raise SystemExit(f"{options.audio} holds only {len(blocks) / rate:.1f} s of audio")
    return blocks[:wanted]


def _until(wanted: int, paths: list[Path], rate: int) -> Iterator[np.ndarray]:
    for path in paths:
        for block in decoding.stream(path, rate):
            yield block
            wanted -= len(block)
            if wanted <= 0:
                return


def _synthesised(samples: int, rate: int) -> np.ndarray:
    """A beat, chords that change every two seconds, and noise.

    Softly: under NumPy 2, musicnn's own code overflows on loud ones.
    """
    random = np.random.default_rng(0)
    at = np.arange(samples) / rate
    roots = 110 * 2 ** (random.integers(0, 12, 1 + samples // (2 * rate)) / 12)
    root = roots[(at // 2).astype(int)]
    phase = 2 * np.pi * np.cumsum(root) / rate
    chord = sum(np.sin(ratio * phase) for ratio in (1, 1.25, 1.5, 2, 3))
    beat = np.exp(-8 * (at % 0.5)) * random.standard_normal(samples)
    return (0.01 * chord + 0.03 * beat).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two vectors, in double precision."""
    a, b = a.astype(float), b.astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def _machine(threads: int) -> str:
    import torch

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next((line.split(": ")[1] for line in lines if "model name" in line), name)
    return (
        f"{name}, {threads} threads, Python {platform.python_version()}, torch {torch.__version__}"
    )


def _markdown(report: dict[str, Any]) -> str:
    lines = [
        "# Speed beside the upstream packages",
        "",
        f"`{report['command']}`, {report['made']}, {report['machine']}.",
        f"Audio: {report['audio']}. Medians of {report['rounds']} rounds, turn by turn.",
        "",
        "| embedder | upstream | weights | precision | upstream ms | ours ms | a window | ratio |"
        " cosine | GFLOP | share of GEMM peak |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in report["rows"].items():
        if "not_measured" in row:
            lines.append(f"| {name} | {row['not_measured']} |" + " |" * 9)
            continue
        cells = [
            name,
            f"`{row['upstream']}`",
            row["weights"],
            row["precision"],
            f"{row['upstream_ms']:.0f}",
            f"{row['ours_ms']:.0f}",
            f"{row['ours_ms_per_window']:.1f}",
            f"**{row['ratio']:.2f}**",
            f"{row['cosine_of_a_window']:.6f}",
            f"{row['gflop']:.0f}",
            f"{row['share_of_peak']:.0%} of {row['peak_gflops']} GFLOP/s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "GFLOP counts matrix products and convolutions as the network is written down. The share",
        "is of what a plain matrix product of the same precision would do in the time that ours",
        "takes: over 100 % where ours gets by with fewer.",
        "The cosine is that of one window given to both.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
