"""Numbers of an event: present or not, within their range, and nothing else taken for one."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal

from ingestion.collector.limits import Refused

_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


def hundredths_of(
    value: object, field: str, limit: int, *, code: str = "amount_invalid", such_as: str = "18.99"
) -> int | None:
    """A number in hundredths, rounded half to even; None where absent.

    Takes a number or decimal text. A float counts as the decimal that it prints as, so 18.99
    is 1899. Raises Refused below zero, above the limit (hundredths) and for anything else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused(code, f"{field} must be a number, such as {such_as}")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise Refused(code, f"{field} must be a number from 0 up, such as {such_as}")
    if not isinstance(value, str) and not 0 <= value <= limit:
        raise Refused(code, f"{field} must lie from 0 to {limit // 100}")
    exact = Decimal(value if isinstance(value, str) else repr(value)) * 100
    hundredths = int(exact.to_integral_value(ROUND_HALF_EVEN))
    if hundredths > limit:
        raise Refused(code, f"{field} must lie from 0 to {limit // 100}")
    return hundredths


def whole_of(value: object, field: str, least: int, most: int, *, code: str) -> int | None:
    """A whole number within [least, most]; None where absent.

    Takes a number, also one like 3.0, or its digits. Raises Refused for anything else.
    """
    if value is None or value == "":
        return None
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 11:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        raise Refused(code, f"{field} must be a whole number from {least} to {most}")
    return number
