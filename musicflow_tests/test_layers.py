from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports


def test_every_room_imports_only_what_stands_below_it() -> None:
    config = str(Path(__file__).parents[1] / "pyproject.toml")
    assert lint_imports(config_filename=config, no_cache=True) == EXIT_STATUS_SUCCESS
