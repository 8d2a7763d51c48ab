"""A hook of MkDocs: show the tutorial's notebook as a page."""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NAME = "tutorial"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the files of the site."""
    notebook = json.loads(Path(config.docs_dir, f"{NAME}.ipynb").read_text("utf-8"))
    note = f"([The notebook]({NAME}.ipynb) of this page. The tests run it.)"
    page = "\n\n".join([*map(_markdown, notebook["cells"]), note])
    files.append(File.generated(config, f"{NAME}.md", content=page))
    return files


def _markdown(cell: dict) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    text = "".join("".join(output["text"]) for output in cell["outputs"])
    shown = f"\n\n```text\n{text.rstrip()}\n```" if text else ""
    return f"```python\n{source}\n```{shown}"
