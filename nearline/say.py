"""Words for people, in English and Chinese side by side.

`NEARLINE_LANG=en|zh` chooses; otherwise the locale does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


def language() -> str:
    """`zh` or `en`."""
    chosen = os.environ.get("NEARLINE_LANG", "")
    locale = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh" if (chosen or locale).lower().startswith("zh") else "en"


def say(en: str, zh: str) -> str:
    """The sentence in the reader's language."""
    return zh if language() == "zh" else en


@dataclass(frozen=True, slots=True)
class Words:
    """One sentence in both languages, for those who keep it or show it in both."""

    en: str
    zh: str

    def __str__(self) -> str:
        return say(self.en, self.zh)
