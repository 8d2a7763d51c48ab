"""`raw_audio` and `track_metadata`: what files there are, and what tracks they make.

Two assets, because they change apart: files come and go, labels are corrected. Neither decodes
anything; a file whose content did not change is not even opened again.
"""

from collections import Counter

import dagster as dg
import pandas as pd

from musicflow.library import Library, LibraryError, join, scan
from musicflow.orchestration.resources import Reporter, Workspace

PREVIEW = 10


@dg.asset(group_name="library", kinds={"file"})
def raw_audio(
    context: dg.AssetExecutionContext, workspace: Workspace, reporter: dg.ResourceParam[Reporter]
) -> dg.MaterializeResult:
    """The audio files of the library: sizes, contents, lengths, and which are of no use."""
    try:
        files = scan(workspace.root, workspace.paths.library, reporter(context))
    except LibraryError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    usable = [file for file in files if not file.error]
    broken = pd.DataFrame(
        [(file.path, file.error) for file in files if file.error], columns=["file", "reason"]
    )
    suffixes = Counter(file.path.rsplit(".", 1)[-1].lower() for file in files)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(files),
            "root": dg.MetadataValue.path(str(workspace.root)),
            "usable": len(usable),
            "unusable": len(broken),
            "hours": round(sum(file.duration_s for file in usable) / 3600, 2),
            "gigabytes": round(sum(file.size for file in files) / 1e9, 3),
            "suffixes": dict(suffixes),
            "problems": dg.MetadataValue.md(_markdown(broken.head(50)) or "none"),
        }
    )


@dg.asset(group_name="library", kinds={"parquet"}, deps=[raw_audio])
def track_metadata(workspace: Workspace) -> dg.MaterializeResult:
    """The tracks: artist, name, genre and subgenres of each usable file."""
    try:
        files = scan(workspace.root, workspace.paths.library)
        library = join(workspace.root, files, workspace.layout)
    except LibraryError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    library.save(workspace.paths.library)
    tracks = pd.DataFrame(library.tracks)
    genres = tracks["genre"].value_counts()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(tracks),
            "format": library.format,
            "fingerprint": library.fingerprint,
            "genres": dg.MetadataValue.md(_markdown(genres.reset_index())),
            "preview": dg.MetadataValue.md(_preview(tracks)),
            "problems": dg.MetadataValue.md(_markdown(_problems(library)) or "none"),
        }
    )


def _preview(tracks: pd.DataFrame) -> str:
    columns = ["track_id", "artist", "name", "genre", "duration_s"]
    return _markdown(tracks[columns].head(PREVIEW).round(1))


def _problems(library: Library) -> pd.DataFrame:
    rows = [(p.subject, p.severity, p.reason) for p in library.problems[:50]]
    return pd.DataFrame(rows, columns=["what", "severity", "reason"])


def _markdown(frame: pd.DataFrame) -> str:
    return "" if frame.empty else frame.to_markdown(index=False)
