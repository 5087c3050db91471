"""A list as a file: CSV or JSON, whole or not at all, and for its owner's eyes alone.

Ids and categories are whatever their sender wrote, and a spreadsheet computes a cell that begins
like a formula. So in CSV such a text gets an apostrophe before it, and all texts stand in quotes
(OWASP, "CSV Injection"); JSON has them as they are.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

from nearline.clock import utc
from nearline.history import appearing_whole
from nearline.say import language
from serving.lists.model import Entry, Made

COLUMNS = (
    *("customer_id", "probability", "horizon_days", "category", "value_cents", "at_stake_cents"),
    *("channel", "channel_grounds", "why", "last_seen", "item_ids"),
)
OWNER_ONLY = 0o600  # A list is personal data.
# By OWASP's list, with the full-width forms that spreadsheets take for the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)  # Computes to itself, so it may stay.


def rfc3339(instant_us: int) -> str:
    return utc(instant_us).isoformat(timespec="seconds").replace("+00:00", "Z")


def as_csv(made: Made) -> str:
    """One row a customer, best first, with a header; reasons in the reader's language."""
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for entry in made.entries:
        row = _row(entry)
        row["why"] = why_of(entry)
        row["item_ids"] = " ".join(entry.item_ids)
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return page.getvalue()


def as_json(made: Made) -> str:
    """The list with all that was made of it; reasons in both languages."""
    whole = {
        "purpose": made.purpose,
        "made_at": rfc3339(made.as_of_us),
        "bundle": made.bundle,
        "calibrated_at": made.calibrated_at,
        "calibrated_to": made.calibrated_to,
        "horizon_days": made.horizon_days,
        "min_probability": made.min_probability,
        "min_value_cents": made.min_value_cents,
        "expected_to_come_true": round(made.expected, 1),
        "known_customers": made.known,
        "left_out": made.left,
        "customers": [
            _row(entry)
            | {
                "why": [{"text_en": one.en, "text_zh": one.zh} for one in entry.why],
                "item_ids": list(entry.item_ids),
            }
            for entry in made.entries
        ],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def write(path: Path, text: str) -> None:
    """Put a list in its place; a file of the same name is replaced."""
    with appearing_whole(path) as aside:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), OWNER_ONLY)  # Whatever the umask says.
            file.write(text)


def beside(path: Path) -> Path:
    """Where those of a list stand whom the API said nothing about: `x.unanswered.csv`."""
    return path.with_stem(f"{path.stem}.unanswered")


def why_of(entry: Entry) -> str:
    """The reasons in the reader's language, strongest first."""
    return ("；" if language() == "zh" else "; ").join(map(str, entry.why))


def _cell(value: str | float | None) -> str | float:
    if not isinstance(value, str):
        return "" if value is None else value
    if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "customer_id": entry.customer_id,
        "probability": round(entry.probability, 4),
        "horizon_days": entry.horizon_days,
        "category": entry.category,
        "value_cents": _cents(entry.value_cents),
        "at_stake_cents": _cents(entry.at_stake_cents),
        "channel": entry.way.channel.value,
        "channel_grounds": entry.way.grounds.value,
        "last_seen": rfc3339(entry.last_seen_us),
    }


def _cents(amount: float | None) -> int | None:
    return None if amount is None else round(amount)


__all__ = ["COLUMNS", "OWNER_ONLY", "as_csv", "as_json", "beside", "rfc3339", "why_of", "write"]
