"""The error tree: two branches, told apart by whether trying again can help."""

from __future__ import annotations


class NearlineError(Exception):
    """Something a person can act on; the message says what, and what to do."""


class TransientError(NearlineError):
    """The same call may succeed later: a dependency is down, slow or not started yet."""


class PermanentError(NearlineError):
    """The same call will fail again until its input or its configuration changes."""


class StoreUnavailable(TransientError):
    """A store did not answer in time."""

    def __init__(self, store: str, address: str, cause: str) -> None:
        self.store, self.address, self.cause = store, address, cause
        super().__init__(
            f"{store} at {address} did not answer ({cause}). "
            "Start it with `nearline up`, or set its address; `nearline doctor` shows which."
        )
