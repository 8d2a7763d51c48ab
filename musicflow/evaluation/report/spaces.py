"""Tables of how tracks lie in the spaces: their health, and their clusters."""

from collections.abc import Sequence

from musicflow.evaluation.clusters import Clusters
from musicflow.evaluation.report.section import Section
from musicflow.evaluation.results import Row
from musicflow.index import fused


def health(rows: Sequence[Row]) -> Section:
    """Return the table of the health of each space."""
    table = []
    for row in rows:
        space = row.space
        if space is not None:
            dim = "–" if space.intrinsic_dim is None else f"{space.intrinsic_dim:.1f}"
            hubs = ", ".join(f"{name} ({count})" for name, count in space.hubs[:3])
            shares = [f"{space.hubness:.2f}", f"{space.orphans:.0%}", f"{space.anisotropy:z.2f}"]
            counts = [str(space.collapsed_dims), str(space.identical)]
            table.append([fused.short(row.embedder), *shares, dim, *counts, hubs])
    head = ["embedder", "hubness", "orphans", "anisotropy", "intrinsic dim", "dead dims"]
    text = (
        "Hubness is the skewness of how often a track is among the ten nearest of others (near 0 "
        "is even). Orphans are never among them. Anisotropy is the mean cosine of two tracks. "
        "Intrinsic dim is by TwoNN. Dead dims have one value for all tracks. Same vector counts "
        "tracks with the vector of another recording."
    )
    drawn = [
        f"{row.space.drawn:,} of {fused.short(row.embedder)}"
        for row in rows
        if row.space and row.space.drawn
    ]
    if drawn:
        text += f" Tracks drawn at random: {', '.join(drawn)}."
    return Section("Health of the spaces", [*head, "same vector", "hubs"], table, [text])


def of_clusters(found: Clusters) -> Section:
    """Return the table of an embedder's clusters."""
    table = [
        [
            one.name,
            f"{len(one.track_ids):,}",
            ", ".join(f"{w.word} {w.share:.0%} ({w.lift:.1f}×)" for w in one.words) or "–",
        ]
        for one in found.clusters
    ]
    words = "predicted tags" if found.source == "tags" else "genres, subgenres and moods"
    text = (
        f"Clusters of k-means, named by the {words} that tell them most from the rest (Dunning's "
        "log-likelihood ratio). Behind a word stand the share of the cluster's tracks that have "
        "it, and how many times that of all tracks. The app's page Map saves them as playlists."
    )
    head = ["cluster", "tracks", "words"]
    return Section(f"Clusters of {found.embedder}", head, table, [text])
