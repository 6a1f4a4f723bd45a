"""How the identifiers of an installation are written: `identity.yaml` under a strict model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from clm_common import catalog
from clm_common.catalog import Definition, Strict
from clm_common.errors import DefinitionError
from clm_stage_engine.core.identifiers import Form, Identifiers, Kind, spellings
from clm_stage_engine.core.predicate import expression

SHIPPED: Final = Path(__file__).parent / "identity.yaml"

_Value = Annotated[str, StringConstraints(min_length=1, max_length=320)]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]


def _compiles(pattern: str) -> str:
    expression(pattern)
    return pattern


_Pattern = Annotated[_Value, AfterValidator(_compiles)]


class BlockedLine(Strict):
    """Values that stand for nobody: exact ones in any usual case, and patterns (RE2)."""

    values: list[_Value] = Field(default_factory=list[str])
    patterns: list[_Pattern] = Field(default_factory=list[str])


class OthersLine(Strict):
    """Ids of systems that no line describes."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    blocked: BlockedLine = BlockedLine()

    def core(self, always: Iterable[str]) -> Kind:
        """Give the kind; `always` is blocked as well."""
        return Kind(
            limit=self.limit,
            values=spellings([*always, *self.blocked.values]),
            patterns=tuple(expression(it) for it in self.blocked.patterns),
        )


class KindLine(OthersLine):
    """One kind of identifier: its form, and the traits that carry it."""

    form: Form = "text"
    traits: list[_Name] = Field(default_factory=list[str])

    def core(self, always: Iterable[str]) -> Kind:
        """Give the kind; `always` is blocked as well."""
        plain = super().core(always)
        return Kind(self.form, tuple(self.traits), plain.limit, plain.values, plain.patterns)


class IdentityFile(Definition):
    """Which identifiers count; see `core.identifiers`."""

    blocked: list[_Value] = Field(default_factory=list[str])
    kinds: dict[_Name, KindLine] = Field(default_factory=dict[str, KindLine])
    others: OthersLine = OthersLine()


def load_identifiers(path: Path = SHIPPED) -> Identifiers:
    """Read the file.

    Raises:
        DefinitionError: it cannot be right, or cannot be read.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: not readable as UTF-8 text: {error}"
        raise DefinitionError("identity.unreadable", message, file=str(path)) from error
    written = catalog.read(text, str(path), IdentityFile).definition
    kinds = {name: line.core(written.blocked) for name, line in written.kinds.items()}
    return Identifiers(kinds, written.others.core(written.blocked))


@cache
def shipped() -> Identifiers:
    """Give the shipped identifiers, read once."""
    return load_identifiers()
