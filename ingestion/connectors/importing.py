"""One import from start to end: fingerprint, chunks, publication, report; resumed where it was.

The report, `imports/<name>.json`, is written last: where it is, the import is finished.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ingestion.connectors import publish, staging
from ingestion.connectors.convert import Converter
from ingestion.connectors.mapping import Mapping
from ingestion.connectors.rows import chunks, open_rows
from ingestion.connectors.staging import Counts, Plan, Reason
from nearline.errors import PermanentError
from nearline.settings import Settings


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every row: `received = imported + duplicate + ignored + refused`."""

    name: str
    fingerprint: str
    file: str
    received: int
    imported: int
    ignored: int
    duplicates: Reason
    refused: dict[str, Reason]
    days: int
    first_us: int
    last_us: int
    consent: tuple[str, ...]
    consent_basis: str

    @property
    def refused_total(self) -> int:
        return sum(reason.count for reason in self.refused.values())


class OtherContent(PermanentError):
    """The name belongs to an import of something else, finished or begun."""

    def __init__(self, name: str, state: str) -> None:
        self.name = name
        super().__init__(
            f"the import {name!r} was {state} from a file or mapping with other content. To bring "
            f"this one in beside it, add --name {name}-2 (rows that are in both then count twice); "
            "to remove what was imported and begin anew, add --replace"
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """Who wants to hear how far the import is. `step` is fingerprint, rows or publish."""

    on_step: Callable[[str, int], None] = lambda step, total: None  # a step and its size begin
    on_progress: Callable[[int], None] = lambda done: None  # so much of it is done


def run(
    settings: Settings,
    path: Path,
    mapping: Mapping,
    name: str,
    *,
    now_us: int,
    shift: str = "",
    shift_newest_to_us: int | None = None,
    replace: bool = False,
    chunk_rows: int = 50_000,
    watch: Watch | None = None,
) -> tuple[Report, bool]:
    """Import a file, or go on with an import that was cut off; the same again does nothing.

    `shift` is what was asked for in words, which the fingerprint covers; the instant is kept
    from the first run. Returns the report, and whether the import was finished before. Raises
    OtherContent, ColumnsMissing, or PermanentError for a file that cannot be read.
    """
    watch = watch or Watch()
    folder = settings.home / "staging" / f"import-{name}"
    with staging.alone(settings.home / "staging" / f".import-{name}.lock", name):
        stamp = path.stat()
        fingerprint = _fingerprint(path, mapping, shift, watch)
        if replace:
            _forget(settings, name, folder)
        done = read_report(settings.home, name)
        if done is not None:
            if done.fingerprint != fingerprint:
                raise OtherContent(name, "finished")
            shutil.rmtree(folder, ignore_errors=True)
            return done, True
        plan = staging.read_plan(folder)
        if plan is None:
            # Neither report nor plan: what lies in history was left by a --replace cut short, and
            # what lies in the folder by a run that staged nothing.
            publish.remove(settings.history, name)
            shutil.rmtree(folder, ignore_errors=True)
            plan = Plan(
                name=name,
                fingerprint=fingerprint,
                began_at_us=now_us,
                shift_newest_to_us=shift_newest_to_us,
            )
            staging.write_bytes(folder / "plan.json", msgspec.json.encode(plan))
        if plan.fingerprint != fingerprint:
            raise OtherContent(name, "begun")
        _stage(path, mapping, plan, folder, chunk_rows, watch)
        now = path.stat()
        if (now.st_size, now.st_mtime_ns) != (stamp.st_size, stamp.st_mtime_ns):
            raise PermanentError(
                f"{path.name} changed while it was imported, so nothing was published: import a "
                "file that stands still, with --replace"
            )
        report = _finish(settings, path, mapping, plan, folder, watch)
        shutil.rmtree(folder, ignore_errors=True)
        return report, False


def read_report(home: Path, name: str) -> Report | None:
    """The report of a finished import; None where none is finished."""
    try:
        return msgspec.json.decode((home / "imports" / f"{name}.json").read_bytes(), type=Report)
    except FileNotFoundError:
        return None


def refused_path(home: Path, name: str) -> Path:
    """Where the refused rows of an import lie: row number, reason and the row itself."""
    return home / "refused" / f"{name}.jsonl"


def _stage(
    path: Path, mapping: Mapping, plan: Plan, folder: Path, chunk_rows: int, watch: Watch
) -> None:
    done = staging.finished_chunks(folder)
    start = done[-1].last + 1 if done else 1
    converter = Converter(mapping, plan.name, plan.began_at_us)
    source = open_rows(path, mapping, start)
    try:
        watch.on_step("rows", source.size)
        for rows in chunks(source.rows, chunk_rows):
            staging.write_chunk(folder, rows, converter)
            watch.on_progress(source.position())
    finally:
        source.close()


def _finish(
    settings: Settings, path: Path, mapping: Mapping, plan: Plan, folder: Path, watch: Watch
) -> Report:
    finished = staging.finished_chunks(folder)
    counts = Counts()
    for chunk in finished:
        counts.add(chunk.counts())
    total = counts.received - counts.refused - counts.ignored
    watch.on_step("publish", total)
    written = 0

    def on_rows(rows: int) -> None:
        nonlocal written
        written += rows
        watch.on_progress(written)

    published = (
        publish.publish(
            [chunk.path for chunk in finished],
            settings.history,
            f"import-{plan.name}-{plan.fingerprint}",
            scratch=folder / "sort",
            may_repeat="event_id" in mapping.columns,
            shift_newest_to_us=plan.shift_newest_to_us,
            on_rows=on_rows,
        )
        if total
        else publish.Published(0, Reason(), 0, 0, 0)
    )
    _gather_refused(finished, refused_path(settings.home, plan.name))
    report = Report(
        name=plan.name,
        fingerprint=plan.fingerprint,
        file=path.name,
        received=counts.received,
        imported=published.imported,
        ignored=counts.ignored,
        duplicates=published.duplicates,
        refused=counts.reasons,
        days=published.days,
        first_us=published.first_us,
        last_us=published.last_us,
        consent=mapping.consent,
        consent_basis=mapping.consent_basis,
    )
    text = msgspec.json.format(msgspec.json.encode(report), indent=2)
    staging.write_bytes(settings.home / "imports" / f"{plan.name}.json", text + b"\n")
    return report


def _gather_refused(finished: list[staging.Chunk], path: Path) -> None:
    path.unlink(missing_ok=True)
    if not any(chunk.refused_path.stat().st_size for chunk in finished):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    aside.touch(0o600)
    with aside.open("wb") as handle:
        for chunk in finished:
            with chunk.refused_path.open("rb") as part:
                shutil.copyfileobj(part, handle)
    aside.rename(path)


def _fingerprint(path: Path, mapping: Mapping, shift: str, watch: Watch) -> str:
    digest = hashlib.sha256()
    watch.on_step("fingerprint", path.stat().st_size)
    read = 0
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
            read += len(block)
            watch.on_progress(read)
    digest.update(f"{mapping.canonical()}\n{shift}".encode())
    return digest.hexdigest()[:12]


def _forget(settings: Settings, name: str, folder: Path) -> None:
    # The report goes first: without it nothing counts as finished.
    (settings.home / "imports" / f"{name}.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    publish.remove(settings.history, name)
    refused_path(settings.home, name).unlink(missing_ok=True)
