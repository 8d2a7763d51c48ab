import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.text import clock, folded, joined, normalized

anything = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Björk", "bjork"),
        ("Björk", unicodedata.normalize("NFD", "BJÖRK")),
        ("Motörhead", "MOTORHEAD"),
        ("Sigur Rós", "sigur  ros"),
        ("Röyksopp", "Røyksopp"),
        ("Ágætis byrjun", "agaetis byrjun"),
        ("Łona", "lona"),
        ("Þursaflokkurinn", "thursaflokkurinn"),
        ("Straße", "STRASSE"),
        ("Алла Пугачёва", "алла пугачева"),
        ("Μίκης Θεοδωράκης", "ΜΙΚΗΣ ΘΕΟΔΩΡΑΚΗΣ"),
        ("İstanbul", "istanbul"),
        ("ISTANBUL", "ıstanbul"),
        ("أم كلثوم", "ام كلثوم"),
        ("Don’t", "Don't"),
        ("Don´t", "Don`t"),
        ("Hip‐Hop", "hip-hop"),
        ("Hip\u2011Hop", "hip–hop"),
        ("“Heroes”", '"Heroes"'),
        ("wait…", "wait..."),
        ("ＡＢＣ", "abc"),
        ("ﾊﾛｰ", "ハロー"),
        ("ﬁn", "FIN"),
        ("no\u00a0break", "no break"),
        ("ideographic\u3000space", "Ideographic space"),
        ("soft\u00adhyphen", "softhyphen"),
        ("I ❤\ufe0f you", "I ❤ you"),
    ],
)
def test_what_a_person_reads_as_the_same_matches(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hip-hop", "hip hop"),
        ("か", "が"),
        ("ハ", "パ"),
        ("ö", "oe"),
        ("AC/DC", "ACDC"),
        ("ー", "-"),
        ("दिन", "दीन"),
        ("!!!", "???"),
    ],
)
def test_what_a_person_tells_apart_stays_apart(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@given(anything)
def test_folding_again_changes_nothing_and_folds_all_forms_alike(text: str) -> None:
    fold = folded(text)
    assert folded(fold) == fold
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, text)) == fold


@given(anything)
def test_a_normalized_text_is_composed_trimmed_and_can_be_kept(text: str) -> None:
    kept = normalized(text)
    assert normalized(kept) == kept == kept.strip()
    assert unicodedata.is_normalized("NFC", kept)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in kept)
    kept.encode()


def test_line_breaks_part_words_and_control_characters_do_not() -> None:
    assert normalized("Lay Down\r\nYour\tBl\x01ade\0 ") == "Lay Down Your Blade"
    assert normalized("\ufeffCafe\u0301") == "Café"


def test_names_are_joined_and_one_name_is_left_whole() -> None:
    assert joined(["Anna", "Otto"]) == "Anna, Otto"
    assert joined("AC/DC") == "AC/DC"


def test_a_time_reads_as_on_a_clock() -> None:
    assert [clock(seconds) for seconds in (0, 9.9, 61, 3601)] == ["0:00", "0:10", "1:01", "60:01"]
