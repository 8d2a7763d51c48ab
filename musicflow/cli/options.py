"""Options of commands that follow from the table of settings."""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Annotated, Any, get_origin

import typer

from musicflow.cli.console import USAGE, stop
from musicflow.settings import choices, options_of_a_run

Command = Callable[..., None]


def takes_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command options for settings of a run.

    Parameters
    ----------
    *names
        The settings; all if none is named. The command has a parameter ``given``, which receives
        those that were given, by name. An empty value gives the default, so that the home forgets
        what it remembers.
    """
    return partial(_with_options, names=names or tuple(options_of_a_run()))


def _with_options(command: Command, names: tuple[str, ...]) -> Command:
    @wraps(command)
    def with_options(**values: Any) -> None:
        said = {name: values.pop(name) for name in names}
        given = {name: _value(name, one) for name, one in said.items() if one not in (None, [], ())}
        command(**values, given=given)

    own = inspect.signature(command).parameters.values()
    first = [parameter for parameter in own if parameter.default is inspect.Parameter.empty]
    rest = [parameter for parameter in own if parameter.default is not inspect.Parameter.empty]
    options = map(_parameter, names)
    shown = [parameter for parameter in (*first, *options, *rest) if parameter.name != "given"]
    shown = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
    with_options.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in shown}
    return with_options


def _parameter(name: str) -> inspect.Parameter:
    """Return the parameter of a setting; None stands for an option that was not given."""
    field, mark = options_of_a_run()[name]
    several = get_origin(field.annotation) in (tuple, dict)
    values = choices(name)
    # An empty value is no number.
    is_text = values or field.default is None
    kind: Any = list[str] if several else str if is_text else field.annotation
    metavar = f"[{'|'.join(values)}]" if values else mark.metavar
    text = (field.description or "").removesuffix(".") + ("; repeatable." if several else ".")
    if several or field.default is None:
        text += ' "" unsets it.'
    option = typer.Option(
        mark.flag,
        metavar=metavar,
        help=text,
        autocompletion=(lambda: [*values]) if values else None,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _value(name: str, value: Any) -> Any:
    """Return a setting's value; pairs such as NAME=SECONDS become a dictionary."""
    field, mark = options_of_a_run()[name]
    if value in ("", [""], ("",)):
        return field.default
    if get_origin(field.annotation) is not dict:
        return value
    pairs = [(text, *text.partition("=")) for text in value]
    for text, _, equals, _ in pairs:
        if not equals:
            stop(f"{mark.flag} {text} is not of the form {mark.metavar}", USAGE)
    return {key: said for _, key, _, said in pairs}
