"""A shop's folder of policy files, looked at again and again while serving."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nearline.say import Words
from nearline.seen import Seen, seen
from serving.policy.lines import MAX_BYTES, Problem
from serving.policy.load import PolicyRefused, load, shipped
from serving.policy.model import Policy, from_canonical

SUFFIXES = (".yaml", ".yml")
KEPT = "policy.json"  # The last good policy of a home, beside its bundles.


def read_folder(folder: Path) -> Policy:
    """The policy of a folder now; the shipped one where it has no files.

    Raises PolicyRefused with every mistake, files that cannot be read among them.
    """
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    for path in _files(folder):
        try:
            with path.open("rb") as file:
                files[path.name] = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            continue  # Gone since it was listed.
        except OSError as error:
            problems.append(_unreadable(path, error))
    if problems:
        raise PolicyRefused(problems)
    return load(files) if files else shipped()


class Folder:
    """The policy in force. A change that cannot be used leaves the last good one.

    `errors` are what is wrong with the files as they are; () when they serve. Not thread-safe.
    """

    def __init__(self, path: Path, kept: Policy | None = None) -> None:
        """Read the folder; `kept` serves where its files are broken at once.

        Raises PolicyRefused where they are broken and nothing was kept.
        """
        self.path = path
        self.errors: tuple[Problem, ...] = ()
        self._seen: Seen = ()
        if kept is not None:
            self.policy = kept
            self._read()
            return
        self._seen = seen(path)
        self.policy = read_folder(path)

    def look(self) -> bool:
        """Read the files again if any changed; whether the policy or its errors did.

        Without a change this costs one stat of each file.
        """
        return seen(self.path) != self._seen and self._read()

    def _read(self) -> bool:
        before = (self.policy.version, self.errors)
        self._seen = seen(self.path)
        try:
            self.policy, self.errors = read_folder(self.path), ()
        except PolicyRefused as refused:
            self.errors = refused.problems
        return (self.policy.version, self.errors) != before


def opened(path: Path, kept: Path) -> Folder:
    """The folder; where its files are broken, with the policy that a run before kept in a file.

    Raises PolicyRefused where they are broken and nothing was kept: what ships in their place
    would show what the shop's own files forbid.
    """
    try:
        before = from_canonical(kept.read_bytes())
    except (OSError, msgspec.MsgspecError):
        before = None
    return Folder(path, kept=before)


def _files(folder: Path) -> list[Path]:
    """A folder that does not exist has none."""
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PolicyRefused([_unreadable(folder, error)]) from None
    return [
        one
        for one in entries
        if one.suffix in SUFFIXES and not one.name.startswith(".") and not one.is_dir()
    ]


def _unreadable(path: Path, error: OSError) -> Problem:
    return Problem(
        path.name,
        1,
        Words(
            f"{path} cannot be read ({error.strerror}): let the serving user read it",
            f"{path} 无法读取（{error.strerror}）：请允许服务进程的用户读取",
        ),
    )
