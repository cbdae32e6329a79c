"""The templates of the reports; every value is escaped."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


def render(name: str, **values: Any) -> str:
    """Fill in a template."""
    return _environment().get_template(name).render(**values)


def text(name: str) -> str:
    """Read a file of this package."""
    return (files(__name__) / name).read_text("utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
