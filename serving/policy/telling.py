"""Mistakes in scene and rule files as commands tell them: a line each, where editors find it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nearline.errors import PermanentError
from nearline.say import say
from serving.policy.folder import Folder, opened
from serving.policy.lines import Problem
from serving.policy.load import PolicyRefused


def told(folder: Path, problems: Iterable[Problem]) -> str:
    """`path:line: what is wrong and how to mend it`, in the reader's words."""
    return "\n".join(f"{folder / one.file}:{one.line}: {one.text}" for one in problems)


def in_force(folder: Path, kept: Path) -> Folder:
    """What serves, by the folder and what a run before kept; see `opened`.

    Raises PermanentError with every mistake where the files are broken and nothing was kept.
    """
    try:
        return opened(folder, kept)
    except PolicyRefused as refused:
        mistakes = told(folder, refused.problems)
        raise PermanentError(
            say(
                "The scene and rule files have mistakes, and no good ones of an earlier run are "
                "kept. Mend them, look again with `nearline scenes check`, and start again:\n"
                f"{mistakes}",
                "场景与规则文件有错误，且没有此前运行保留下来的可用版本。请修正后用 "
                f"`nearline scenes check` 再次检查，然后重新启动：\n{mistakes}",
            )
        ) from refused
