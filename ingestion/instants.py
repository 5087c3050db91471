"""Instants as people type them on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import click

from nearline.clock import micros
from nearline.say import say


def instant_us(text: str, now_us: int, *, option: str, examples: Sequence[str]) -> int:
    """A date, a time (UTC where it names no zone) or `now`, in microseconds.

    Raises click.BadParameter that names the option and shows the examples.
    """
    if text == "now":
        return now_us
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            say(
                f"{text!r} is no time; expected {', '.join(examples)} or now",
                f"{text!r} 不是时间；应为 {'、'.join(examples)} 或 now",
            ),
            param_hint=option,
        ) from None
    return micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
