"""Winograd's convolutions against torch's own, in double precision."""

import math
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, conv2d, max_pool2d

from musicflow import kernels
from musicflow.kernels import convolution, processor, winograd
from musicflow.kernels.convolution import Layer, Plain, Winograd, convolutions


def layer(fan_in, fan_out, seed=0, **options):
    random = torch.Generator().manual_seed(seed)
    kernel = torch.randn(fan_out, fan_in, 3, 3, generator=random) * (2 / 9 / fan_in) ** 0.5
    return Layer(kernel, torch.randn(fan_out, generator=random), **options)


def images(batch, height, width, channels, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(batch, height, width, channels, generator=random)


def exact(x, layers):
    x = x.double().permute(0, 3, 1, 2)
    for kernel, bias, relu, pooling, *_ in layers:
        x = conv2d(x, kernel.double(), bias.double(), padding=1)
        x = x.relu() if relu else x
        x = {"none": lambda y: y, "max": pool(max_pool2d), "mean": pool(avg_pool2d)}[pooling](x)
    return x.permute(0, 2, 3, 1).numpy()


def pool(function):
    return lambda x: function(x, 2)


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 3),
    height=st.integers(2, 19),
    width=st.integers(2, 19),
    channels=st.sampled_from([(64, 64), (64, 128), (128, 64)]),
    relu=st.booleans(),
    pooling=st.sampled_from(["none", "max", "mean"]),
    tile=st.sampled_from([2, 4]),
)
@example(1, 2, 2, (64, 64), True, "mean", 4)
@example(3, 19, 19, (128, 64), False, "max", 4)
def test_a_layer_is_torchs(batch, height, width, channels, relu, pooling, tile):
    one = layer(*channels, relu=relu, pooling=pooling, tile=tile)
    x = images(batch, height, width, channels[0])
    ours = Winograd([one])(x).numpy()
    np.testing.assert_allclose(ours, exact(x, [one]), rtol=1e-4, atol=5e-5)


@settings(deadline=None, max_examples=60)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    channels=st.sampled_from([64, 128]),
    relu=st.booleans(),
    tile=st.sampled_from([2, 4]),
)
@example(1, 1, 1, 64, True, 4)
@example(3, 19, 19, 128, False, 2)
def test_a_layer_of_one_channel_and_the_next_are_torchs(batch, height, width, channels, relu, tile):
    layers = [layer(1, channels, relu=relu), layer(channels, 64, 1, tile=tile)]
    x = images(batch, height, width, 1)
    ours = Winograd(layers)(x).numpy()
    np.testing.assert_allclose(ours, exact(x, layers), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chain", [Winograd, lambda layers: Plain(layers, "cpu", torch.float32)])
def test_layers_follow_each_other(chain):
    layers = [
        layer(1, 64, 1),
        layer(64, 128, 2, pooling="max"),
        layer(128, 64, 3, pooling="mean", tile=2),
        layer(64, 64, 4, relu=False),
    ]
    x = images(2, 21, 14, 1)
    np.testing.assert_allclose(chain(layers)(x).numpy(), exact(x, layers), rtol=1e-4, atol=1e-4)


def test_an_image_larger_than_a_block_is_put_together_in_order():
    one = layer(64, 64)
    x = images(2, 37, 41, 64)
    assert 2 * convolution._BLOCK < 2 * 10 * 11
    np.testing.assert_allclose(Winograd([one])(x).numpy(), exact(x, [one]), rtol=1e-4, atol=5e-5)


def test_the_number_of_threads_changes_nothing():
    one, x = Winograd([layer(64, 64)]), images(1, 30, 30, 64)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(one(x).numpy())
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_calls_from_several_threads_do_not_meet():
    one = Winograd([layer(64, 64), layer(64, 64, 1)])
    pictures = [images(1, 24, 24, 64, seed) for seed in range(8)]
    alone = [one(picture).numpy() for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        for ours, expected in zip(threads.map(one, pictures), alone, strict=True):
            np.testing.assert_array_equal(ours.numpy(), expected)


@pytest.mark.parametrize("rounded", [False, True])
def test_what_is_not_a_number_is_not_made_one(rounded):
    x = images(1, 8, 8, 64)
    x[0, 3, 3] = float("nan")
    found = Winograd([layer(64, 64)], rounded)(x)
    assert found[0, 2:5, 2:5].isnan().all()
    found = Winograd([layer(1, 64), layer(64, 64)], rounded)(x[..., :1])
    assert found[0, 1:6, 1:6].isnan().all()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tiles", [False, True])
def test_torch_has_what_is_no_processor_and_bfloat16_where_there_is_amx(
    precision, tiles, monkeypatch
):
    monkeypatch.setattr(processor, "has_tiles", lambda: tiles)
    layers = [layer(64, 64)]
    wanted = Plain if tiles and precision == torch.bfloat16 else Winograd
    assert isinstance(convolutions(layers, "cpu", precision), wanted)
    assert isinstance(convolutions(layers, "meta", precision), Plain)


CHAIN = [layer(1, 64, 1), layer(64, 128, 2, pooling="max"), layer(128, 64, 3, pooling="mean")]


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("relu", [False, True])
def test_by_torch_in_bfloat16_a_narrow_image_errs_by_its_rounding(width, relu):
    chain = [
        layer(64, 128, 1, narrow=True),
        layer(128, 64, 2, relu=relu, pooling="mean" if width > 1 else "none", narrow=True),
    ]
    x = images(3, 21, width, 64)
    ours, expected = Plain(chain, "cpu", torch.bfloat16)(x).numpy(), exact(x, chain)
    assert ours.shape == expected.shape
    assert np.linalg.norm(ours - expected) < 0.006 * np.linalg.norm(expected)


@pytest.mark.parametrize("height", [20, 21])
def test_by_torch_in_bfloat16_a_chain_errs_by_its_rounding(height):
    chain, x = Plain(CHAIN, "cpu", torch.bfloat16), images(2, height, 15, 1)
    ours, expected = chain(x).numpy(), exact(x, CHAIN)
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() < 0.02 * np.abs(expected).max()
    assert np.linalg.norm(ours - expected) < 0.006 * np.linalg.norm(expected)


@pytest.mark.skipif(not processor.has_tiles(), reason="this processor has no AMX")
def test_by_torch_in_bfloat16_an_image_has_the_same_beside_any_others():
    chain, x = Plain(CHAIN, "cpu", torch.bfloat16), images(9, 128, 99, 1)
    together = chain(x).numpy()
    for count in (1, 2, 5):
        np.testing.assert_array_equal(chain(x[:count]).numpy(), together[:count])


def test_threads_for_images_leave_all_others_as_many_as_before():
    threads = torch.get_num_threads
    before = threads()
    Plain(CHAIN, "cpu", torch.bfloat16)(images(4, 8, 8, 1))
    with ThreadPoolExecutor(1) as another:
        assert [threads(), another.submit(threads).result()] == [before, before]
    assert convolution._lone_threads().submit(threads).result() == 1


def test_by_torch_in_bfloat16_what_is_not_a_number_is_not_made_one():
    x, one = images(3, 8, 8, 64), layer(64, 64)
    x[1, 3, 3] = float("nan")
    found = Plain([one], "cpu", torch.bfloat16)(x)
    assert found.isnan().flatten(1).any(dim=1).tolist() == [False, True, False]
    assert found[1, 2:5, 2:5].isnan().all()


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("part", ["kernel", "bias"])
def test_by_torch_in_bfloat16_a_bad_weight_is_heard_to_the_end(at, value, part):
    chain = [layer(1, 64, 1), layer(64, 64, 2, pooling="max"), layer(64, 64, 3)]
    getattr(chain[at], part).view(-1)[0] = value
    x = images(2, 12, 12, 1)
    found = Plain(chain, "cpu", torch.bfloat16)(x).numpy()
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(exact(x, chain)))
    assert not np.isfinite(found).all()


@pytest.fixture
def unprobed():
    convolution.compile_winograd.cache_clear()
    yield
    convolution.compile_winograd.cache_clear()


def hide_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "musicflow.kernels.winograd")
    monkeypatch.delattr(kernels, "winograd")


def break_compiler(monkeypatch):
    def fail(*_):
        raise RuntimeError("LLVM ERROR: no such target\nand more")

    monkeypatch.setattr(winograd, "convolve", fail)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("spoil", [hide_numba, break_compiler])
def test_without_numba_torch_convolves_and_one_line_says_so(spoil, monkeypatch, caplog):
    layers = [layer(1, 64), layer(64, 64, pooling="max")]
    x = images(1, 9, 8, 1)
    spoil(monkeypatch)
    chains = [convolutions(iter(layers), "cpu", torch.float32) for _ in range(2)]
    assert all(isinstance(chain, Plain) for chain in chains)
    np.testing.assert_allclose(chains[0](x).numpy(), exact(x, layers), rtol=1e-4, atol=1e-4)
    (record,) = caplog.records
    assert record.name == "musicflow"
    assert "\n" not in record.getMessage()


@pytest.mark.parametrize(("tile", "error"), [(2, 0.0035), (4, 0.0105)])
def test_rounding_costs_what_the_nearest_bfloat16_costs(tile, error):
    one = layer(128, 64, relu=False, tile=tile)
    x = images(1, 40, 40, 128)
    expected = exact(x, [one])
    off = Winograd([one], rounded=True)(x).numpy() - expected
    size = (expected**2).mean()
    assert 1e-4 < np.sqrt((off**2).mean() / size) < error
    # Cutting off in place of rounding would make everything smaller.
    assert abs((off * expected).mean() / size) < 2e-4


def test_rounded_is_exact_where_there_is_nothing_to_round():
    random = torch.Generator().manual_seed(0)
    # The transforms of tiles of 2 add four numbers, and halve those of the kernel twice.
    kernel = 4.0 * torch.randint(-3, 4, (128, 64, 3, 3), generator=random)
    x = torch.randint(-15, 16, (2, 9, 13, 64), generator=random).float()
    layers = [Layer(kernel, torch.zeros(128), relu=False, tile=2)]
    ours = Winograd(layers, rounded=True)(x).numpy()
    np.testing.assert_array_equal(ours, exact(x, layers))


def test_a_first_layer_of_one_channel_is_not_rounded():
    random = torch.Generator().manual_seed(0)
    # To bfloat16, numbers next to 4096 are all the same; their differences are small and exact.
    x = 4096.0 + torch.randint(-3, 4, (1, 9, 13, 1), generator=random)
    difference = torch.zeros(64, 1, 3, 3)
    difference[:, :, 1, 1], difference[:, :, 1, 0] = 1, -1
    kernel = 4.0 * torch.randint(-1, 2, (64, 64, 3, 3), generator=random)
    layers = [
        Layer(difference, torch.zeros(64), relu=False),
        Layer(kernel, torch.zeros(64), relu=False, tile=2),
    ]
    inside = slice(3, -3)
    ours, expected = Winograd(layers, rounded=True)(x).numpy(), exact(x, layers)
    np.testing.assert_array_equal(ours[:, inside, inside], expected[:, inside, inside])
    assert expected[:, inside, inside].any()


@pytest.mark.parametrize(
    ("layers", "error"),
    [
        ([layer(1, 64)], "no layer follows"),
        ([layer(1, 64, pooling="max"), layer(64, 64)], "64s"),
        ([layer(1, 32), layer(32, 64)], "64s"),
    ],
)
def test_a_layer_of_one_channel_that_the_next_cannot_make_is_refused(layers, error):
    with pytest.raises(ValueError, match=error):
        Winograd(layers)


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize(("fan_in", "fan_out"), [(32, 64), (96, 64), (64, 32), (64, 1)])
def test_channels_that_would_reach_beyond_an_array_are_refused(fan_in, fan_out, rounded):
    with pytest.raises(ValueError, match="64s"):
        Winograd([layer(fan_in, fan_out)], rounded)


@pytest.mark.parametrize("tile", [2, 4])
def test_a_tile_of_one_axis_is_a_filter_of_three_taps(tile):
    samples, taps = np.arange(tile + 2.0) ** 2, np.array([1.0, -3.0, 0.5])
    made = winograd.TRANSFORMS[tile]
    outputs = made.inverse @ ((made.filter @ taps) * (made.data @ samples))
    np.testing.assert_allclose(outputs, np.correlate(samples, taps, "valid"))


@pytest.mark.slow
def test_it_runs_where_what_is_compiled_cannot_be_kept(tmp_path):
    shutil.copy(winograd.__file__, tmp_path)
    (tmp_path / "__pycache__").write_text("no folder")
    program = (
        "import numpy as np, winograd as w;"
        "out = np.zeros((1, 6, 6, 64), np.float32);"
        "kernel = w.transform_filter(np.ones((64, 64, 3, 3), np.float32), 4);"
        "ones = np.zeros((1, 6, 6, 64), np.float32); ones[:, 1:5, 1:5] = 1;"
        "w.convolve(w.TILES[4], ones, 4, 4, (), kernel, np.zeros(64, np.float32), np.float32(0), 0,"
        " 0, 1, 48, out); print(round(float(out[0, 2, 2, 0])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == str(9 * 64), done.stderr


BF16 = """
from llvmlite import binding
found = binding.get_host_cpu_features()
found |= {"avx512f": True, "avx512bf16": True}
binding.get_host_cpu_features = lambda: found
import numba, numpy as np
from musicflow.kernels import winograd
bits, sums = (numba.typeof(np.empty((36, 24, 64), kind)) for kind in ("u2", "f4"))
kernel = numba.typeof(winograd.transform_filter(np.ones((64, 64, 3, 3), "f4"), 4, True))
signature = bits, kernel, numba.types.uint64, sums
winograd._multiply.compile(signature)
print(winograd._multiply.inspect_asm(signature))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="for another kind of processor")
def test_a_processor_with_instructions_for_bfloat16_is_given_them():
    """Compiled only: this runs wherever the tests do."""
    features = "+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512bf16,+evex512"
    done = subprocess.run(
        [sys.executable, "-c", BF16],
        env=os.environ | {"NUMBA_CPU_NAME": "znver4", "NUMBA_CPU_FEATURES": features},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    dots = [line.split() for line in done.stdout.splitlines() if "vdpbf16ps" in line]
    sums = {operands[-1] for _, *operands in dots}
    assert len(sums) == winograd._ROWS * 2, "all sums are to be kept in registers"
    assert all(register.startswith("%zmm") for register in sums)
