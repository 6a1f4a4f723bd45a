"""How the identifiers of an installation are written: `identity.yaml` under a strict model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from clm_common import catalog
from clm_common.catalog import Definition, Strict
from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.errors import DefinitionError
from clm_stage_engine.core.identifiers import GROUP_ID, Country, Form, Identifiers, Kind, spellings
from clm_stage_engine.core.merging import MOST
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
    """Ids of systems that no line describes: one finds people by them."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    blocked: BlockedLine = BlockedLine()

    def core(self, always: Iterable[str]) -> Kind:
        """Give the kind; `always` is blocked as well."""
        return Kind(
            limit=self.limit,
            values=spellings([*always, *self.blocked.values]),
            patterns=tuple(expression(it) for it in self.blocked.patterns),
        )


class KindLine(Strict):
    """One kind of identifier: its form, the traits that carry it, and whom it joins."""

    form: Form = "text"
    traits: list[_Name] = Field(default_factory=list[str])
    priority: Annotated[int, Field(ge=1, le=9)] | None = None
    joins: bool | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    blocked: BlockedLine = BlockedLine()

    def core(self, name: str, always: Iterable[str]) -> Kind:
        """Give the kind of this name; `always` is blocked as well."""
        own = _OWN.get(name, _ATTRIBUTE)
        return Kind(
            self.form,
            tuple(self.traits),
            own.limit if self.limit is None else self.limit,
            spellings([*always, *self.blocked.values]),
            tuple(expression(it) for it in self.blocked.patterns),
            own.joins if self.joins is None else self.joins,
            self.priority or own.priority,
        )


_ATTRIBUTE: Final = Kind()
_OWN: Final = {
    USER_ID: Kind(limit=MOST, joins=True, priority=1),
    ANONYMOUS_ID: Kind(limit=None, joins=True),
}
"""What holds for the ids of customers and devices where the file says nothing else."""


class CountryLine(Strict):
    """How numbers are dialled in the country of those that do not tell theirs."""

    code: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,2}$")]
    trunk: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,3}$")] = "0"
    abroad: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}$")] = "00"

    def core(self) -> Country:
        """Give the country."""
        return Country(self.code, self.trunk, self.abroad)


class IdentityFile(Definition):
    """Which identifiers count; see `core.identifiers`."""

    blocked: list[_Value] = Field(default_factory=list[str])
    country: CountryLine | None = None
    kinds: dict[_Name, KindLine] = Field(default_factory=dict[str, KindLine])
    others: OthersLine = OthersLine()

    @field_validator("kinds")
    @classmethod
    def _are_whole(cls, kinds: dict[str, KindLine]) -> dict[str, KindLine]:
        group = kinds.get(GROUP_ID)
        if group is not None and group.joins:
            raise ValueError(f"{GROUP_ID} cannot join: everybody of a group would be one person")
        return {USER_ID: KindLine(), ANONYMOUS_ID: KindLine()} | kinds


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
    kinds = {name: line.core(name, written.blocked) for name, line in written.kinds.items()}
    country = None if written.country is None else written.country.core()
    return Identifiers(kinds, written.others.core(written.blocked), country)


@cache
def shipped() -> Identifiers:
    """Give the shipped identifiers, read once."""
    return load_identifiers()
