"""A hook of MkDocs: show all settings in a table."""

from pydantic.fields import FieldInfo

from musicflow.settings import Settings, options_of_a_run

PLACE = "<!-- The table of settings stands here: see settings_table.py. -->"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the table in its place."""
    return markdown.replace(PLACE, table())


def table() -> str:
    """Return a row per setting: its name, option, default and meaning."""
    options = options_of_a_run()
    rows = ["| setting | option of `run` | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        flag = f"`{options[name][1].flag}`" if name in options else ""
        rows.append(f"| `{name}` | {flag} | {_default(field)} | {field.description} |")
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's own folder"
    value = field.default
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return "" if value in (None, {}) else f"`{value}`"
