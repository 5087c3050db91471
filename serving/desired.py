"""Which bundles should answer: written by the watcher, followed by every replica by itself.

The two meet in one small file beside the verified copies. So a replica that starts late, or
while the registry, the watcher or Serve's controller is dead, still finds the right versions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from nearline.contracts.bundle import BundleRefused
from nearline.seen import Seen, seen
from serving.bundles import Bundle, Shelf, load
from serving.watch import RETRY_REFUSED_S, WatchState

FILE = "desired.json"

logger = logging.getLogger(__name__)


class Desired(msgspec.Struct, frozen=True):
    """What the watcher found, and where the copies of the two versions lie; "" for none."""

    champion_folder: str = ""
    challenger_folder: str = ""
    watched: WatchState = WatchState()
    at_us: int = 0  # When the watcher looked last.

    @property
    def folders(self) -> dict[str, str]:
        """Version -> folder, the champion first."""
        both = (
            (self.watched.active, self.champion_folder),
            (self.watched.challenger, self.challenger_folder),
        )
        return {version: folder for version, folder in both if version and folder}


NOTHING = Desired()


def read(bundles: Path, otherwise: Desired = NOTHING) -> Desired:
    """What is desired; `otherwise`, where nobody has written or what is there cannot be read."""
    try:
        return msgspec.json.decode((bundles / FILE).read_bytes(), type=Desired)
    except FileNotFoundError:
        return otherwise
    except (OSError, msgspec.MsgspecError) as error:
        logger.warning("%s cannot be read: %s", FILE, type(error).__name__)
        return otherwise


def write(bundles: Path, desired: Desired) -> None:
    """Say what is desired from now on."""
    replace_file(bundles / FILE, msgspec.json.encode(desired))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that whoever reads it finds all of the old or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    aside.write_bytes(content)
    os.replace(aside, path)  # noqa: PTH105 - `Path.replace` is the same call


class Trial:
    """The watcher's stage: tries each bundle before any replica hears of it."""

    def __init__(self) -> None:
        self._tried: dict[str, tuple[str, Seen]] = {}

    def folder(self, version: str) -> str:
        """Where a version lies that was tried and is well; "" for any other."""
        return self._tried[version][0] if version in self._tried else ""

    async def prepare(self, version: str, folder: str) -> str:
        """Load it whole and let it go; return why it is refused, or nothing.

        Once, unless its files were changed since: a replica that starts later reads them again.
        """
        found = folder, await asyncio.to_thread(seen, Path(folder))
        if self._tried.get(version) != found:
            try:
                await asyncio.to_thread(load, Path(folder), version)
            except BundleRefused as refused:
                self._tried.pop(version, None)
                return refused.why
            self._tried[version] = found
        return ""

    async def activate(self, version: str) -> None:
        """Nothing: the replicas follow the file."""

    async def challenge(self, version: str) -> None:
        """Nothing: the replicas follow the file."""


@dataclass
class _Refusal:
    why: str
    at_s: float


class Following:
    """Moves one replica's shelf to what is desired, whenever both of its halves are awaited.

    First `champion`, then `challenger`, so that nothing that befalls the second touches the first.
    `before` is awaited with a bundle that was loaded, before it may answer.
    """

    def __init__(
        self,
        bundles: Path,
        shelf: Shelf,
        before: Callable[[Bundle], Awaitable[None]],
        clock_s: Callable[[], float],
    ) -> None:
        self._bundles, self._shelf = bundles, shelf
        self._before, self._clock_s = before, clock_s
        self._refused: dict[str, _Refusal] = {}
        self.desired = NOTHING  # What was read last.
        self.loading = False

    @property
    def refused(self) -> str:
        """Why this replica does not serve what it should, or nothing."""
        reasons = [
            f"bundle {version}: {refusal.why}"
            for version, refusal in self._refused.items()
            if version in self.desired.folders
        ]
        return "; ".join(reasons)

    async def champion(self) -> Desired:
        """Read the file, load its champion aside, swap one reference; returns what was read.

        The champion swaps at once: a shelf lets go of what nobody asks for.
        """
        self.desired = desired = await asyncio.to_thread(read, self._bundles, self.desired)
        if await self._has(desired.watched.active):
            self._shelf.activate(desired.watched.active)
        return desired

    async def challenger(self) -> None:
        """The same for the challenger of what was read."""
        challenger = self.desired.watched.challenger
        # One that is refused is not stood in for by the one before.
        self._shelf.challenge(challenger if await self._has(challenger) else "")

    async def _has(self, version: str) -> bool:
        """Whether a version is resident, loading it where it is not."""
        if version in self._shelf.versions:
            return True
        folder, rests = self.desired.folders.get(version), self._refused.get(version)
        if folder is None or (rests and self._clock_s() - rests.at_s < RETRY_REFUSED_S):
            return False
        self.loading = True
        try:
            await asyncio.to_thread(self._shelf.prepare, version, Path(folder))
        except BundleRefused as refused:
            logger.warning("bundle %s is refused: %s", version, refused.why)
            self._refused[version] = _Refusal(refused.why, self._clock_s())
            return False
        finally:
            self.loading = False
        self._refused.pop(version, None)
        bundle = self._shelf.get(version)
        if bundle is not None:
            await self._before(bundle)
        return True
