import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicflow.app.catalogue import Catalogue
from musicflow.app.map import escaped
from musicflow.app.names import clean
from musicflow.library import Library, Track


@given(st.text(st.characters()))
def test_any_text_becomes_one_short_line(text: str) -> None:
    shown = clean(text)
    assert not set("\n\r\t\0\x1b\u2028\u202e") & set(shown)
    assert len(shown) <= 100


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<br><b>bold</b><sup>2</sup>",
    "&lt;script&gt;&#x41;&amp;",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "<http://evil.example>",
    ":material/home: :streamlit: :red[x] :smile:",
    "$\\frac{1}{2}$ $$x$$",
    "`code` ```block",
    "# head > quote - list 1. list | cell |",
    "**b** _i_ ~~s~~ ==m== [^1]",
    "\\* \\\\",
    "one\ntwo\r\nthree\u2028four\u2029five\x85six",
    "\0\x01\x1b[31mred\x1b[0m\x7f",
    "\u202egnp.exe \u2066x\u2069",
    "Z\u0335\u0321\u033a" * 500,
    "x" * 1_000_000,
    "\ud800 half a pair",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_stays_one_short_line_without_markup(text: str) -> None:
    for shown in (clean(text), escaped(text)):
        assert shown.isprintable() or all(c.isprintable() or c == " " for c in shown)
        assert not set("\n\r\u2028\u2029\u202e\u2066\0\x1b") & set(shown)
        shown.encode()
    assert not set("<>\"'") & set(escaped(text))


@pytest.mark.parametrize("words", ["beyonce", "BEYONCÉ halo", "hälo", "ハロ"])
def test_words_find_a_track_whatever_their_case_and_accents(words: str) -> None:
    track = Track("a/1.mp3", "/a/1.mp3", "", 1.0, 8000, artists=("Beyoncé",), name="Halo ハロー")
    other = Track("b/2.mp3", "/b/2.mp3", "", 1.0, 8000, artists=("Nobody",), name="Hello")
    library = Library("x", "/", "folders", (track, other), ())
    assert Catalogue(library).search(words) == [track]
