"""What mappings of webhooks have beyond JMESPath's own functions; all arithmetic is decimal."""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, TypeVar

import jmespath
from jmespath import functions

_WHOLE: Final = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905 - reads as a table
)
_THOUSANDTHS: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
"""Currencies whose minor unit is no hundredth, as Stripe counts them in payments.

ISK and UGX have no cents any more, yet Stripe's API goes on counting them in hundredths, as it does
HUF and TWD, which are whole in payouts only: https://docs.stripe.com/currencies#special-cases
"""

_MOST_DIGITS: Final = 30

F = TypeVar("F", bound=Callable[..., object])


def _takes(*arguments: dict[str, list[str]]) -> Callable[[F], F]:
    """Say what a function takes; JMESPath's own decorator has no types."""

    def decorate(function: F) -> F:
        signed = functions.signature(*arguments)  # pyright: ignore[reportArgumentType] # private type
        decorated: F = signed(function)
        return decorated

    return decorate


class _Functions(functions.Functions):  # type: ignore[misc] # no stubs are published
    """The functions; JMESPath finds them by their names."""

    @_takes({"types": ["number", "null"]}, {"types": ["string", "null"]})
    def _func_minor(self, amount: float | None, currency: str | None) -> int | float | None:
        """Give an amount in a currency's minor unit as one in its main unit."""
        if amount is None or currency is None:
            return None
        code = currency.upper()
        digits = 0 if code in _WHOLE else 3 if code in _THOUSANDTHS else 2
        return _number(Decimal(str(amount)).scaleb(-digits))

    @_takes({"types": ["array"]})
    def _func_total(self, amounts: list[object]) -> int | float:
        """Add amounts that are numbers or text."""
        return _number(sum((Decimal(str(it)) for it in amounts), Decimal(0)))

    @_takes({"types": ["number", "null"]}, {"types": ["number", "null"]})
    def _func_minus(self, amount: float | None, other: float | None) -> int | float | None:
        """Subtract; what is absent is nothing."""
        return None if amount is None else _number(Decimal(str(amount)) - Decimal(str(other or 0)))


OPTIONS: Final = jmespath.Options(custom_functions=_Functions())


def _number(value: Decimal) -> int | float:
    if not value.is_finite() or value.adjusted() > _MOST_DIGITS:
        raise ValueError("no amount of money")
    return int(value) if value == value.to_integral_value() else float(value)
