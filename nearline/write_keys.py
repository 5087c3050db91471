"""Write keys: who may send events, which ones, and on what terms of consent.

They lie in `write_keys.json` in the home folder (mode 0600): each key with its `WriteKey`.
The collector makes the file with two random keys at its first start and notices later changes
by itself: `app` goes into pages and apps, so everybody can read it, and may say only what
customers do; `server` is for the shop's own programs and may say what items are.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from nearline.contracts.event import Purpose
from nearline.errors import PermanentError

FILE_NAME = "write_keys.json"
DEFAULT_NAME = "app"
SERVER_NAME = "server"
_logger = logging.getLogger(__name__)


class WriteKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The terms of one key.

    `lists_items` lets it send `item_listed`, whose stock, bans and ages the rules go by, and whose
    price and category stand above what all other events say: never for a key that leaves the
    shop's own machines. A file that does not say so does not allow it.
    `consent` is `explicit` (an event without a consent object is refused) or `assumed` (it is
    taken to grant `assumed_purposes`; for sources whose customers agreed elsewhere). The two
    limits replace the collector's own for this key; None keeps those.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    consent: Literal["explicit", "assumed"] = "explicit"
    assumed_purposes: tuple[Purpose, ...] = ()
    max_event_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_age_days: Annotated[int, msgspec.Meta(ge=1)] | None = None
    lists_items: bool = False

    def __post_init__(self) -> None:
        if self.consent == "assumed" and Purpose.ANALYTICS not in self.assumed_purposes:
            raise ValueError(
                f"key {self.name!r} assumes consent, so assumed_purposes must hold 'analytics'"
            )


_SERVER = WriteKey(name=SERVER_NAME, lists_items=True)


class WriteKeys:
    """The keys as the file holds them now: a change is seen at the next look-up.

    A file that can no longer be read leaves the last good keys in force and is logged.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE_NAME
        self._stamp = _stamp(self._path)
        self._index(load(home))

    def find(self, key: str) -> WriteKey | None:
        """The terms of a key, or None where there is no such key."""
        self._refresh()
        return self._by_digest.get(_digest(key))

    def named(self, name: str) -> WriteKey | None:
        """The terms by name, for events that were sent earlier under that key."""
        self._refresh()
        return self._by_name.get(name)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._index(load(self._path.parent))
        except PermanentError as error:
            _logger.warning("write keys stay as they were: %s", error)

    def _index(self, keys: dict[str, WriteKey]) -> None:
        # By digest, so that looking a key up takes no longer the more of it was guessed.
        self._by_digest = {_digest(text): key for text, key in keys.items()}
        self._by_name = {key.name: key for key in keys.values()}


def ensure(home: Path) -> Path:
    """Make the file with random keys named `app` and `server` if it is not there; its path."""
    path = home / FILE_NAME
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        keys = {_random_key(): WriteKey(name=DEFAULT_NAME), _random_key(): _SERVER}
        aside = _write_aside(path, keys)
        # Two first starts at once: the one that links first has made the file.
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink()
    return path


def load(home: Path) -> dict[str, WriteKey]:
    """Every key with its terms; raises PermanentError for a file that cannot be read."""
    path = home / FILE_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, WriteKey])
    except FileNotFoundError:
        raise PermanentError(
            f"there is no {path}: start `nearline collector` once, which makes it"
        ) from None
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise PermanentError(
            f"{path} cannot be read ({error}). Expected "
            '{"<key>": {"name": "app", "consent": "explicit", "lists_items": false}}'
        ) from error


def key_named(home: Path, name: str = DEFAULT_NAME) -> str:
    """The key itself, for a client on this machine; raises PermanentError for an unknown name.

    `server` is made where there is none: files of before it have only `app`.
    """
    keys = load(home)
    if name == SERVER_NAME and all(key.name != name for key in keys.values()):
        return add(home, _SERVER)
    for text, key in keys.items():
        if key.name == name:
            return text
    raise PermanentError(
        f"no write key is named {name!r} in {home / FILE_NAME}; "
        f"there are: {', '.join(sorted(key.name for key in keys.values()))}"
    )


def any_key(home: Path) -> str:
    """A key for this machine's own programs, as `first_key`; the file is made if need be.

    Raises PermanentError for a home that is not there: its keys would be nobody's.
    """
    if not home.is_dir():
        raise PermanentError(
            f"there is no folder {home}: name the home of the system that runs, as its "
            "NEARLINE_HOME does"
        )
    ensure(home)
    return first_key(home)


def first_key(home: Path) -> str:
    """One that may list items, else the one named `app`, else any.

    Raises PermanentError where there is none.
    """
    keys = load(home)
    if not keys:
        raise PermanentError(
            f"{home / FILE_NAME} holds no key: remove it and start the collector again"
        )
    return max(keys, key=lambda text: (keys[text].lists_items, keys[text].name == DEFAULT_NAME))


def add(home: Path, terms: WriteKey) -> str:
    """Return the key of that name, after making one if there is none and setting its terms."""
    path = ensure(home)
    keys = load(home)
    text = next((text for text, key in keys.items() if key.name == terms.name), _random_key())
    if keys.get(text) != terms:
        _write_aside(path, {**keys, text: terms}).rename(path)
    return text


def _write_aside(path: Path, keys: dict[str, WriteKey]) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    text = msgspec.json.format(msgspec.json.encode(keys), indent=2)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(text + b"\n")
        handle.flush()
        os.fsync(handle.fileno())
    return aside


def _random_key() -> str:
    return secrets.token_urlsafe(24)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
