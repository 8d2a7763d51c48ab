"""Addresses of models from outside: their parts, and the names made of them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow import address
from musicflow.address import Address, parse

part = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
place = st.lists(part, min_size=1, max_size=4).map("/".join)
addresses = st.builds(
    Address,
    kind=st.sampled_from(["hub", "hear", "onnx", "vectors"]),
    place=place,
    revision=part | st.just(""),
    layer=part | st.just(""),
    trust_remote_code=st.booleans(),
    given=st.from_regex(r"([A-Za-z0-9][A-Za-z0-9_-]{0,9})?", fullmatch=True),
)


@given(addresses)
def test_an_address_survives_the_way_through_text(one: Address) -> None:
    assert parse(str(one)) == one


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_none(text: str) -> None:
    for one in (parse(text), parse(f"hub:{text}")):
        assert one is None or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", one.name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hub:MIT/ast-finetuned-10-0.4593#pooler", "hub_MIT_ast_finetuned_10_0_4593_pooler"),
        ("hub:a/b@0123456789abcdef#7", "hub_a_b_01234567_7"),
        ("hub:/home/me/models/my@ast/v1#mean", "hub_v1_mean"),
        ("hub:/models/ast", "hub_ast"),
        ("hub:./models/ast", "hub_ast"),
        ("hub:~/models/ast", "hub_ast"),
        ("hear:mine.module#timestamp", "hear_mine_module_timestamp"),
        ("onnx:models/effnet-1.onnx", "onnx_effnet_1"),
        ("vectors:clap.tar.npz", "vectors_clap_tar"),
        ("ast=hub:MIT/ast?trust_remote_code#3", "ast"),
    ],
)
def test_the_name_of_an_address_is_safe_and_survives_a_move(text: str, name: str) -> None:
    one = parse(text)
    assert one is not None
    assert one.name == name


@pytest.mark.parametrize(
    "text", ["musicnn", "package.module:NAME", "fusion:a+b", "hub:", "a b=hub:x"]
)
def test_other_names_are_no_addresses(text: str) -> None:
    assert parse(text) is None


def test_a_file_here_gets_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert address.absolute("hub:model#3") == f"hub:{tmp_path}/model#3"
    assert address.absolute("x=onnx:m.onnx") == f"x=onnx:{tmp_path}/m.onnx"
    assert address.absolute("hub:MIT/ast") == "hub:MIT/ast"
    assert address.absolute("mfcc") == "mfcc"
