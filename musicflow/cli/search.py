"""The commands that answer: search, recommend, path, why, duplicates, export."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import typer

from musicflow.atomic import write_atomically
from musicflow.cli.console import (
    USAGE,
    HomeOption,
    JsonOption,
    err,
    out,
    print_bytes,
    print_json,
    progress,
    say,
    settings_of,
    stop,
    table_of,
)
from musicflow.embedders import EmbedderSpec
from musicflow.index import Collection, Filters, Hit, NoCollectionError
from musicflow.index.filters import filter_forms
from musicflow.index.hubness import Correction
from musicflow.library.recordings import Verdicts
from musicflow.library.rows import UNKNOWN
from musicflow.places import place
from musicflow.search import lookup, query
from musicflow.search.answers import answers_of, group_of
from musicflow.search.corrected import corrected
from musicflow.search.duplicates import duplicates as find_duplicates
from musicflow.search.path import path as find_path
from musicflow.search.playlist import Paths, PlaylistFormat, mapping, playlist, tracks_in
from musicflow.search.recommend import Strategy, recommend
from musicflow.search.variety import Variety
from musicflow.search.why import why as why_alike
from musicflow.settings import Settings
from musicflow.text import clock, joined

EmbedderOption = Annotated[
    str | None,
    typer.Option(help="The embedder to search with, or a fusion: rrf:musicnn+mfcc."),
]
CountOption = Annotated[int, typer.Option("-k", help="The number of answers.")]
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--filter", help=f"{filter_forms()}; repeatable."),
]
ArtistOption = Annotated[int | None, typer.Option(help="The most answers by one artist.")]
AlbumOption = Annotated[int | None, typer.Option(help="The most answers of one album.")]
ApartOption = Annotated[
    bool, typer.Option("--apart", help="No two tracks by one artist after each other.")
]
CorrectOption = Annotated[
    Correction | None,
    typer.Option(help="Correct hubness, so that no track is an answer to everything."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(search)
    app.command(name="recommend")(recommend_command)
    app.command()(path)
    app.command()(why)
    app.command()(duplicates)
    app.command()(export)


def search(
    file: Annotated[
        str | None, typer.Argument(help="An audio file, of the library or not.")
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="A track of the library, by its id or name.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Words that describe music, for an embedder with a text side."),
    ] = None,
    embedder: EmbedderOption = None,
    k: CountOption = 10,
    where: FilterOption = None,
    max_per_artist: ArtistOption = None,
    max_per_album: AlbumOption = None,
    apart: ApartOption = False,
    correct: CorrectOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the tracks that sound most like a file, a track or a description.

    Example: `musicflow search --track calm_acoustic_1 -k 5 --filter genre=acoustic`
    """
    if [file, track, text].count(None) != 2:
        stop("say what to search with: a FILE, --track NAME or --text WORDS", USAGE)
    variety = Variety(max_per_artist, max_per_album, apart)
    with _opened(home, embedder, text=text is not None, correct=correct) as (collection, settings):
        filters = _filters(collection, where, settings)
        if track is not None:
            track_id = lookup.find_track(collection, track)
            hits = query.similar_to_track(collection, track_id, k, filters, variety)
        else:
            if text is not None:
                vector = query.example_of_text(collection, text, settings)
            else:
                assert file is not None
                vector = query.example_of_file(collection, place(file), settings)
            hits = query.similar_to_vector(collection, vector, k, filters, variety)
        _show(hits, collection, as_json, _by(correct))


def recommend_command(
    like: Annotated[
        list[str] | None,
        typer.Option(help="A track by its id or name, or an audio file; repeatable."),
    ] = None,
    dislike: Annotated[
        list[str] | None, typer.Option(help="The same, for tracks to avoid; repeatable.")
    ] = None,
    like_text: Annotated[
        list[str] | None,
        typer.Option(help="Words that describe music, as for `search --text`; repeatable."),
    ] = None,
    like_playlist: Annotated[
        Path | None,
        typer.Option(help="A playlist (M3U, XSPF, JSON) to extend: all its tracks are liked."),
    ] = None,
    strategy: Annotated[
        Strategy, typer.Option(help="How the examples become a score.")
    ] = "average",
    diverse: Annotated[bool, typer.Option("--diverse", help="Prefer answers that differ.")] = False,
    max_per_artist: ArtistOption = None,
    max_per_album: AlbumOption = None,
    apart: ApartOption = False,
    embedder: EmbedderOption = None,
    k: CountOption = 10,
    where: FilterOption = None,
    correct: CorrectOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recommend tracks like some, and unlike others.

    The answers exclude the examples. Copies of one recording count as one.

    Example: `musicflow recommend --like calm_acoustic_1 --dislike sad_electronic_2 --diverse`
    """
    with _opened(home, embedder, text=bool(like_text), correct=correct) as (collection, settings):
        filters = _filters(collection, where, settings)
        described = [query.example_of_text(collection, text, settings) for text in like_text or []]
        liked = [query.example_of(collection, text, settings) for text in like or []]
        if like_playlist is not None:
            liked += _tracks_in(like_playlist, collection)
        hits = recommend(
            collection,
            [*liked, *described],
            [query.example_of(collection, text, settings) for text in dislike or []],
            k,
            filters,
            strategy=strategy,
            diverse=diverse,
            variety=Variety(max_per_artist, max_per_album, apart),
            verdicts=Verdicts.load(settings.paths.recordings),
        )
        _show(hits, collection, as_json, f", {strategy}{_by(correct)}")


def path(
    start: Annotated[str, typer.Argument(metavar="A", help="The first track, by id or name.")],
    end: Annotated[str, typer.Argument(metavar="B", help="The last one.")],
    steps: Annotated[int, typer.Option(help="The number of tracks in between.")] = 8,
    embedder: EmbedderOption = None,
    where: FilterOption = None,
    max_per_artist: ArtistOption = None,
    max_per_album: AlbumOption = None,
    apart: ApartOption = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a playlist from one track to another, each track more like the last one.

    Example: `musicflow path calm_acoustic_1 energetic_electronic_2 --steps 5`
    """
    with _opened(home, embedder) as (collection, settings):
        filters = _filters(collection, where, settings)
        first, last = (lookup.find_track(collection, name) for name in (start, end))
        variety = Variety(max_per_artist, max_per_album, apart)
        hits = find_path(collection, first, last, steps, filters, variety)
        about = "; the score is the likeness to the track before"
        _show(hits, collection, as_json, about)


def why(
    track: Annotated[str, typer.Argument(metavar="A", help="The query, by id or name.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The answer.")],
    embedder: EmbedderOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what two tracks have in common, and which seconds of both sound most alike.

    Example: `musicflow why calm_acoustic_1 calm_acoustic_2`
    """
    with _opened(home, embedder) as (collection, settings):

        def listen(spec: EmbedderSpec, payload: Mapping[str, Any]) -> np.ndarray:
            frames = query.frames_of_file(place(payload["path"]), spec, settings.cache)
            with lookup.open_collections(settings).open(spec.label) as member:
                return member.normalize(frames)

        found = why_alike(collection, track, other, settings, listen)
    if found.error is not None:
        raise found.error
    if as_json:
        print_json(found.as_json)
        return
    for line in found.lines():
        say(line)
    table = table_of(f"by {found.embedder}", ["score", "A from", "B from", "seconds"])
    for one in found.passages:
        starts = (clock(one.query_s), clock(one.answer_s))
        table.add_row(f"{one.score:.3f}", *starts, f"{one.seconds:.1f}")
    out.print(table)


def duplicates(
    embedder: EmbedderOption = None,
    other: Annotated[
        Path | None,
        typer.Option(
            "--with",
            metavar="HOME",
            help="Another home: list the recordings that the two libraries have in common.",
        ),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List groups of tracks that are copies of one recording, or cuts of one.

    Example: `musicflow duplicates --with ~/other-home`
    """
    if other is not None:
        _show_common(other, home, as_json)
        return
    with _opened(home, embedder) as (collection, settings):
        groups = find_duplicates(collection, Verdicts.load(settings.paths.recordings))
        manifest = collection.manifest
    if as_json:
        print_json([group_of(group) for group in groups])
        return
    if not groups:
        say(f"No duplicates among {manifest.count} tracks, by {manifest.embedder}.")
        return
    shown = _told([hit.payload for group in groups for hit in group.hits])
    table = table_of(f"by {manifest.embedder}", ["group", "score", *shown])
    for number, group in enumerate(groups, 1):
        cells = _cells([hit.payload for hit in group.hits], shown)
        for hit, row in zip(group.hits, cells, strict=True):
            table.add_row(str(number), f"{hit.score:.4f}", *row)
    out.print(table)
    for shared in (shared for group in groups for shared in group.cuts):
        say(shared)


def _show_common(other: Path, home: Path | None, as_json: bool) -> None:
    """Show the recordings that the library of a home has in common with that of another."""
    # They stand on the decoder, which a search does not need.
    from musicflow.library import Library
    from musicflow.pipeline.cuts import in_common

    settings, others = settings_of(home=home), settings_of(home=other)
    theirs, mine = (Library.load(one.paths.library) for one in (others, settings))
    found = in_common(mine, theirs, settings, progress)
    if as_json:
        print_json([one.as_json for one in found])
        return
    for one in found:
        say(one)
    tracks = f"{len(mine.tracks)} tracks of {mine.name} and {len(theirs.tracks)} of {theirs.name}"
    told = "nothing in common" if not found else f"{len(found)} recordings in common"
    say(f"The {tracks} have {told}.")


def export(
    tracks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TRACK]...", help="Tracks by id or name."),
    ] = None,
    form: Annotated[PlaylistFormat, typer.Option("--playlist", help="What to write.")] = "m3u8",
    output: Annotated[
        Path | None, typer.Option(help="Where to write it, if not to standard output.")
    ] = None,
    relative_to: Annotated[
        Path | None, typer.Option(help="Name files from this folder on, rather than whole.")
    ] = None,
    mapped: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="FROM=TO",
            help="For a player that sees the library elsewhere: /music=/data/music.",
        ),
    ] = None,
    embedder: EmbedderOption = None,
    home: HomeOption = None,
) -> None:
    """Write a playlist of some tracks, or of another command's answers:
    `musicflow path A B --json | musicflow export`.

    Example: `musicflow export calm_acoustic_1 calm_acoustic_2 --output calm.m3u8`
    """
    with _opened(home, embedder) as (collection, _):
        names = tracks or _track_ids_from_input()
        payloads = [collection.payload(lookup.find_track(collection, name)) for name in names]
    written = playlist(payloads, form, Paths(relative_to, mapping(mapped) if mapped else None))
    for one in written.left_out:
        say(str(one), err)
    content = written.text.encode("utf-8", "surrogateescape")
    if output is None:
        print_bytes(content)
        return
    try:
        # A link stays one, and what is no file, such as a pipe, is written to.
        target = output.resolve()
        if target.exists() and not target.is_file():
            target.write_bytes(content)
        else:
            write_atomically(target, content)
    except OSError as error:
        stop(f"{output} cannot be written: {error.strerror}", USAGE)


@contextmanager
def _opened(
    home: Path | None,
    embedder: str | None,
    *,
    text: bool = False,
    correct: Correction | None = None,
) -> Iterator[tuple[Collection, Settings]]:
    """Open the collection of an embedder, or of the first of the home's that has one.

    If `text`, the first with a text side comes before the others.
    """
    settings = settings_of(home=home)
    index = lookup.open_collections(settings)
    if embedder is None:
        label = lookup.first_of(settings, index, text=text)
    else:
        label, settings = lookup.collection_of(embedder, settings)
    try:
        collection = index.open(label)
    except NoCollectionError:
        # An unknown name raises its own error; a known one has no collection.
        lookup.specs_for(label, settings)
        raise
    with collection:
        yield corrected(collection, correct, settings) if correct else collection, settings


def _filters(collection: Collection, where: Sequence[str] | None, settings: Settings) -> Filters:
    return query.filters_for(collection, where or [], lookup.each_open(settings))


def _by(correct: Correction | None) -> str:
    return f"; the score is that of {correct}" if correct else ""


def _tracks_in(file: Path, collection: Collection) -> list[str]:
    """Return the tracks of a playlist, and say which of its entries are none."""
    try:
        content = file.read_bytes()
    except OSError as error:
        stop(f"{file} cannot be read: {error.strerror}", USAGE)
    found, unknown = tracks_in(content, collection, file.absolute().parent)
    if unknown:
        some = ", ".join(unknown[:3]) + (", …" if len(unknown) > 3 else "")
        total = len(found) + len(unknown)
        said = f"{len(unknown)} of {total} entries of {file} are no tracks of the library: {some}"
        say(said, err)
    if not found:
        stop(f"no entry of {file} is a track of the library", USAGE)
    return found


def _show(
    hits: Sequence[Hit],
    collection: Collection,
    as_json: bool,
    about: str = "",
) -> None:
    if as_json:
        print_json(answers_of(hits))
        return
    if not hits:
        say("Nothing found: no track passes the filters.")
        return
    title = f"by {collection.manifest.embedder}{about}"
    payloads = [hit.payload for hit in hits]
    shown = _told(payloads)
    table = table_of(title, ["", "score", *shown])
    for rank, (hit, cells) in enumerate(zip(hits, _cells(payloads, shown), strict=True), 1):
        table.add_row(str(rank), f"{hit.score:.3f}", *cells)
    out.print(table)
    for hit in hits:
        if hit.duplicates:
            say(f"{hit.track_id} stands for {', '.join(hit.duplicates)} as well.")


_COLUMNS = {"track": "track_id", "artist": "artist", "name": "name", "genre": "genre"}
"""The columns of a table of tracks, and the payload's fields in them."""


def _told(payloads: Sequence[dict[str, Any]]) -> list[str]:
    """Return the columns that say something: not unknown throughout, nor the file's name again."""

    def says_something(payload: dict[str, Any], column: str) -> bool:
        text = joined(payload[_COLUMNS[column]])
        if column == "name":
            return text != PurePosixPath(payload["track_id"]).stem
        return text != UNKNOWN

    return [column for column in _COLUMNS if any(says_something(each, column) for each in payloads)]


def _cells(payloads: Sequence[dict[str, Any]], columns: Sequence[str]) -> Iterator[list[str]]:
    for payload in payloads:
        yield [joined(payload[_COLUMNS[column]]) for column in columns]


def _track_ids_from_input() -> list[str]:
    if sys.stdin.isatty():
        stop("name some tracks, or pipe the answers of another command with --json in", USAGE)
    try:
        answers = json.load(sys.stdin)
    except ValueError:
        answers = None
    if not isinstance(answers, list) or not all(map(_names_a_track, answers)):
        stop("standard input does not hold what a command prints with --json", USAGE)
    return [answer["track_id"] for answer in answers]


def _names_a_track(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("track_id"), str)
