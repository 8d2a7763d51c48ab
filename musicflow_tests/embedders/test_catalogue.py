"""What there is to choose from, and the licences of it."""

from pathlib import Path

import pytest

from musicflow import address, embedders
from musicflow.embedders import catalogue


def test_the_known_ones_have_an_address_and_a_source_per_fact() -> None:
    known = catalogue.known()
    assert len(known) >= 12
    for offer in known:
        assert address.parse(offer.address) is not None, offer.name
        assert offer.source, offer.name
        assert offer.licence_source, offer.name
        assert not offer.tried, offer.name
        assert offer.name not in embedders.REGISTRY


def test_published_figures_have_their_setup_and_stand_in_the_evidence() -> None:
    readme = (Path(__file__).parents[2] / "eval" / "README.md").read_text("utf-8")
    lines = [line for line in readme.splitlines() if line.startswith("| ")]
    for figure in catalogue.published():
        assert figure.embedder in embedders.REGISTRY
        assert figure.setup
        assert figure.source
        start = f"| {figure.embedder} | {figure.accuracy} | {figure.benchmark} | "
        [line] = [line for line in lines if line.startswith(start)]
        assert figure.differs in line


def test_those_that_take_words_say_so() -> None:
    speaking = {offer.name for offer in catalogue.known() if offer.text}
    assert speaking == {"clap", "clap-music-and-speech", "muq-mulan", "msclap"}


def test_no_known_one_is_refused() -> None:
    from musicflow.embedders.adapters.repository import REFUSED

    parsed = [address.parse(offer.address) for offer in catalogue.known()]
    assert not {one.place for one in parsed if one} & REFUSED.keys()


@pytest.mark.parametrize(
    ("licence", "commercial"),
    [
        ("CC-BY-NC-4.0", False),
        ("cc-by-nc-sa-4.0", False),
        ("Apache-2.0", True),
        ("CC-BY-4.0", True),
        ("NCSA", True),
        ("unknown", None),
    ],
)
def test_a_licence_tells_whether_commercial_use_is_allowed(
    licence: str, commercial: bool | None
) -> None:
    offer = catalogue.Offer("x", "known", "hub:a/b", 1, 1, 1.0, licence=licence)
    assert offer.is_commercial is commercial


def test_what_the_settings_name_is_offered_too() -> None:
    spec = embedders.spec_or_stand_in("x=hub:laion/larger_clap_music")
    [offer] = [offer for offer in catalogue.offers([spec]) if offer.kind == "named"]
    assert (offer.name, offer.address) == ("x", "x=hub:laion/larger_clap_music")
    assert "broken conversion" in offer.error
