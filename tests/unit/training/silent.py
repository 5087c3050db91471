"""Nobody looks on while something learns."""

from __future__ import annotations


class Silent:
    """A watch that hears nothing."""

    def stage(self, title: str, total: int) -> None: ...

    def step(self, advance: int = 1, note: str = "") -> None: ...

    def tell(self, sentence: str) -> None: ...
