"""Templates: Liquid, bounded in time, memory and reach, and refused at start where they err.

Whoever writes a template may not be whoever runs the system, so a template can do little: read the
variables of `VARIABLES`, apply the filters of `FILTERS`, loop a bounded number of times. Rendering
costs *fuel* (each filter and each look-up, by the size of what it handles); a template that burns
more than `FUEL` fails. Fuel is counted, not timed, so a template always passes or always fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid import BoundTemplate, Environment, Mode, RenderContext, StrictUndefined
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.filter import with_context
from liquid.span import Span
from liquid.static_analysis import Segments

from clm_common.errors import ClmError, DefinitionError
from clm_engagement.core.contact import FIELDS

MAX_SOURCE: Final = 64 * 1024
MAX_TEXT: Final = 64 * 1024
MAX_NUMBER: Final = 10**15
FUEL: Final = 1_000_000

VARIABLES: Final[Mapping[str, frozenset[str]]] = {
    "contact": frozenset(FIELDS),
    "sender": frozenset({"name", "email"}),
    "link": frozenset({"unsubscribe"}),
}
"""What a template may read: objects and their fields. A null field renders as nothing."""

FILTERS: Final = frozenset({
    "abs", "append", "at_least", "at_most", "capitalize", "ceil", "default", "divided_by",
    "downcase", "escape", "escape_once", "floor", "lstrip", "minus", "modulo", "newline_to_br",
    "plus", "prepend", "remove", "replace", "round", "rstrip", "size", "strip",
    "strip_newlines", "times", "truncate", "truncatewords", "upcase", "url_encode",
})  # fmt: skip

_NO_TAGS: Final = frozenset({"include", "render", "tablerow", "increment", "decrement"})

Values = Mapping[str, Mapping[str, str | None]]


class RenderFailed(ClmError):
    """A template could not be rendered for these values; trying again does not help."""


class Template:
    """One compiled template."""

    def __init__(self, source: str, *, file: str, escaped: bool) -> None:
        """Compile and check a template.

        Args:
            source: its text.
            file: its name in errors.
            escaped: it is HTML: values are escaped.

        Raises:
            DefinitionError: it does not parse, or reads or uses what it may not.
        """
        if len(source) > MAX_SOURCE:
            raise DefinitionError(
                "template.too_long",
                f"{file}: has {len(source)} characters; at most {MAX_SOURCE} are allowed",
                file=file,
            )
        environment = _HTML if escaped else _TEXT
        try:
            self._template = environment.from_string(source, name=file)
        except LiquidError as error:
            raise _refusal(file, _line(error), str(error.message)) from error
        self.reads = _check(self._template, source, file)

    def render(self, values: Values) -> str:
        """Fill in the values.

        Raises:
            RenderFailed: it reaches one of its bounds, or a filter refuses its input.
        """
        try:
            return self._template.render(values)
        except (LiquidError, ArithmeticError, ValueError) as error:
            slug = "template.bound" if isinstance(error, ResourceLimitError) else "template.failed"
            raise RenderFailed(slug, f"{self._template.name}: {_first_line(error)}") from error


def _check(template: BoundTemplate, source: str, file: str) -> frozenset[tuple[str, str]]:
    """Give the variables a template reads; refuse the first variable or filter there is not."""
    analysis = template.analyze(include_partials=False)
    for name, spans in analysis.filters.items():
        if name not in FILTERS:
            known = ", ".join(sorted(FILTERS))
            raise _refusal(
                file, _line_at(source, spans[0]), f"unknown filter {name}; there are {known}"
            )
    found: set[tuple[str, str]] = set()
    for use in (each for uses in analysis.globals.values() for each in uses):
        pair = _pair(use.segments)
        if pair is None:
            known = ", ".join(f"{root}.{field}" for root, field in _known())
            raise _refusal(
                file, _line_at(source, use.span), f"unknown variable {use}; there are {known}"
            )
        found.add(pair)
    return frozenset(found)


def _line_at(source: str, span: Span) -> int:
    return source.count("\n", 0, span.index) + 1


def _pair(segments: Segments) -> tuple[str, str] | None:
    match segments:
        case [str(root), str(field)] if field in VARIABLES.get(root, ()):
            return root, field
        case _:
            return None


def _known() -> list[tuple[str, str]]:
    return [(root, field) for root, fields in VARIABLES.items() for field in sorted(fields)]


def _refusal(file: str, line: int, message: str) -> DefinitionError:
    return DefinitionError("template.invalid", f"{file}:{line}: {message}", file=file, line=line)


def _line(error: LiquidError) -> int:
    token = error.token
    return 1 if token is None else token.source.count("\n", 0, max(0, token.start_index)) + 1


def _first_line(error: Exception) -> str:
    return str(error.message if isinstance(error, LiquidError) else error).partition("\n")[0]


class _Context(RenderContext):
    """A render context with a tank."""

    __slots__ = ("fuel",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # Any: passed on as they are
        super().__init__(*args, **kwargs)
        self.fuel = FUEL

    def burn(self, amount: int) -> None:
        """Use up fuel.

        Raises:
            ResourceLimitError: there is not enough left.
        """
        self.fuel -= amount
        if self.fuel < 0:
            raise ResourceLimitError("the template does too much work", token=None)

    def get(self, path: list[object], **kwargs: Any) -> object:  # Any: passed on as they are
        """Look a variable up, for a little fuel."""
        self.burn(10)
        return super().get(path, **kwargs)


class _Bound(BoundTemplate):
    context_class = _Context


class _Environment(Environment):
    """The bounds that Liquid itself watches."""

    template_class = _Bound
    block_nesting_limit = 20
    context_depth_limit = 20
    loop_iteration_limit = 200
    local_namespace_limit = 4 * MAX_TEXT
    output_stream_limit = 4 * MAX_TEXT

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=StrictUndefined,
            tolerance=Mode.STRICT,
            strict_filters=True,
        )
        self.filters = {
            name: _fuelled(name, self.filters[name]) for name in FILTERS if name in self.filters
        }
        for name in _NO_TAGS:
            self.tags.pop(name, None)


def _fuelled(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    """Make a filter refuse large values and burn fuel by the size of what it takes and gives."""
    needs_environment: bool = getattr(inner, "with_environment", False)

    @wraps(inner)
    def outer(value: object, *args: object, context: _Context, **kwargs: object) -> object:
        context.burn(_size(value) + sum(map(_size, args)) + sum(map(_size, kwargs.values())))
        if name == "replace" and len(args) > 1:
            _refuse_if_long(len(str(value)) * (len(str(args[1])) + 1))
        if needs_environment:
            kwargs["environment"] = context.env
        result: object = inner(value, *args, **kwargs)
        context.burn(_size(result))
        return result

    outer.with_environment = False  # type: ignore[attr-defined] # Liquid's own marker
    return with_context(outer)


def _size(value: object) -> int:
    """Give what handling a value costs; refuse what no template needs."""
    if isinstance(value, str):
        _refuse_if_long(len(value))
        return 10 + len(value)
    if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
        raise ResourceLimitError("a number is too large", token=None)
    if isinstance(value, range | list | tuple | dict):
        raise ResourceLimitError("filters take text and numbers, not lists", token=None)
    return 10


def _refuse_if_long(length: int) -> None:
    if length > MAX_TEXT:
        raise ResourceLimitError("a text is too long", token=None)


_HTML: Final = _Environment(autoescape=True)
_TEXT: Final = _Environment(autoescape=False)
