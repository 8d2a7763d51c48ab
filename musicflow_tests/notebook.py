"""Run a notebook without Jupyter: `python -m musicflow_tests.notebook docs/tutorial.ipynb`.

The outputs are written into the notebook, so that the site shows them.
"""

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def run(notebook: dict[str, Any]) -> None:
    """Execute the cells in this process, and put the outputs into them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            text = _execute("".join(cell["source"]), names, f"cell {count}")
            cell["execution_count"] = count
            cell["outputs"] = [_output(text)] if text else []


def _execute(source: str, names: dict[str, Any], place: str) -> str:
    """Return what is printed, and the value of the last line if it is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, place, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), place, "eval"), names)
            if value is not None:
                print(repr(value))
    return printed.getvalue()


def _output(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}


def main(path: Path) -> None:
    """Run a notebook in a folder of its own, and write it with its outputs."""
    notebook = json.loads(path.read_text("utf-8"))
    path = path.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        run(notebook)
        os.chdir(path.parent)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
