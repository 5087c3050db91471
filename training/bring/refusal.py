"""Why a model from outside is not taken."""

from __future__ import annotations

from nearline.errors import PermanentError


class Refused(PermanentError):
    """A model that does not become part of a bundle; `why` says what to mend."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"this model is not taken: {why}. Nothing was registered.")
