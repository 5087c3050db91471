"""What a bundle costs: its own files, loaded in a clean process and timed on made-up questions.

A question goes through encoder, index and ranker as an answer does; features are random, with
gaps. Several bundles take turns, so that a busy machine slows them alike. A file that kills the
process that reads it kills this one, not whoever asks.

By hand: python -m nearline.bundle_probe FOLDER [FOLDER ...]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nearline import aside, rankers
from nearline.contracts.bundle import CONTENT, COVISITS, ENCODER, INDEX, Manifest, verify
from nearline.errors import NearlineError, PermanentError
from nearline.transforms.content import ContentTable
from nearline.transforms.covisits import CovisitTable
from nearline.transforms.ranking import RANKER_FEATURES

CANDIDATES = 200  # About as many as an answer ranks.
QUESTIONS, _WARM_UP = 200, 10
_LIMIT_S = 300.0
_LEFT_OUT = ("pandas", "sklearn", "torch", "feast")  # As in serving, which has none of them.

# Axes: I items, L places in the history, C candidates, F features.
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probe:
    """One bundle's costs. CPU time compares two bundles fairly on a machine that others use."""

    questions: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # median CPU time of one question
    size_mb: float  # all files, in millions of bytes


class ProbeFailed(PermanentError):
    """A bundle that cannot answer made-up questions; `why` says what happened."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the bundle cannot answer: {why}")


def measure(folders: Sequence[Path], questions: int = QUESTIONS) -> list[Probe]:
    """The costs of bundles, in step; raises ProbeFailed when one of them cannot answer."""
    words = ["--questions", str(questions), *map(str, folders)]
    try:
        said = aside.run("nearline.bundle_probe", words, _LIMIT_S)
    except aside.Ended as ended:
        raise ProbeFailed(ended.why) from None
    return [Probe(**one) for one in json.loads(said)]


class _Loaded:
    """A bundle's models on one thread each."""

    def __init__(self, folder: Path) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self.manifest: Manifest = verify(folder, folder.name)
        self._encoder: Any = rankers.onnx_session(folder / ENCODER)
        self._index: Any = faiss.read_index(str(folder / INDEX))
        spec = self.manifest.ranker
        self._ranker = rankers.read(folder, spec) if spec else None
        _read_the_rest(folder, self.manifest, self._index)
        self.size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6

    def answer(self, draw: np.random.Generator) -> None:
        """One question; raises ProbeFailed when a model's answer is no number."""
        length = self.manifest.encoder.history_length
        items, kinds = np.zeros((1, length), np.int64), np.zeros((1, length), np.int64)
        met = int(draw.integers(1, length + 1))
        items[0, -met:] = draw.integers(1, self.manifest.items + 1, met)
        kinds[0, -met:] = draw.integers(1, 5, met)
        query = self._encoder.run(["query"], {"items": items, "kinds": kinds})[0]
        if query.shape != (1, self.manifest.encoder.dimension) or not np.isfinite(query).all():
            raise ProbeFailed(
                f"the encoder gives {query.shape} with values that are no numbers, or another "
                f"shape than (1, {self.manifest.encoder.dimension})"
            )
        self._index.search(np.asarray(query, np.float32), min(CANDIDATES, self._index.ntotal))
        if self._ranker is None:
            return
        scores = self._ranker.scores(_made_up_rows(draw))
        if scores.shape != (CANDIDATES,):
            raise ProbeFailed(f"the ranker gives {scores.shape} for {CANDIDATES} rows")
        if not np.isfinite(scores).all():
            raise ProbeFailed(
                f"the ranker gives no number for {int((~np.isfinite(scores)).sum())} of "
                f"{CANDIDATES} rows; features that are unknown arrive as NaN, so a model that "
                "cannot read NaN must fill it in by itself"
            )


def _read_the_rest(folder: Path, manifest: Manifest, index: Any) -> None:
    """Try what no question here needs: else serving would be the first to find it broken."""
    if index.ntotal != manifest.items:
        raise ProbeFailed(f"its index holds {index.ntotal} vectors for {manifest.items} items")
    if (folder / COVISITS).is_file():
        with np.load(folder / COVISITS, allow_pickle=False) as arrays:
            CovisitTable.from_arrays(dict(arrays), manifest.items)
    if (folder / CONTENT).is_file():
        msgspec.json.decode((folder / CONTENT).read_bytes(), type=ContentTable)
    for score in manifest.scores:
        rankers.booster(folder / score.file)


def _made_up_rows(draw: np.random.Generator) -> npt.NDArray[np.float32]:
    """(C, F): counts and amounts of all sizes, a fifth unknown."""
    rows = np.exp(draw.normal(0.0, 2.0, (CANDIDATES, len(RANKER_FEATURES)))).astype(np.float32)
    rows[draw.random(rows.shape) < 0.2] = np.nan
    return rows


def _run(folders: Sequence[Path], questions: int) -> list[Probe]:
    loaded = [_Loaded(folder) for folder in folders]
    wall_ms: list[list[float]] = [[] for _ in loaded]
    cpu_ms: list[list[float]] = [[] for _ in loaded]
    for number in range(_WARM_UP + questions):
        for place, one in enumerate(loaded):
            draw = np.random.default_rng(number)  # Each bundle gets the same question.
            start, start_cpu = time.perf_counter(), time.thread_time()
            one.answer(draw)
            if number >= _WARM_UP:
                cpu_ms[place].append((time.thread_time() - start_cpu) * 1_000)
                wall_ms[place].append((time.perf_counter() - start) * 1_000)
    return [
        Probe(
            questions,
            float(np.quantile(wall, 0.5)),
            float(np.quantile(wall, 0.99)),
            float(np.median(cpu)),
            one.size_mb,
        )
        for one, wall, cpu in zip(loaded, wall_ms, cpu_ms, strict=True)
    ]


def _main(words: list[str]) -> int:
    modules: dict[str, Any] = sys.modules  # None means: this import fails.
    for name in _LEFT_OUT:
        modules.setdefault(name, None)
    try:
        found = _run([Path(word) for word in words[2:]], int(words[1]))
    except NearlineError as error:
        sys.stderr.write(f"{getattr(error, 'why', error)}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - whatever a broken model file raises
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps([asdict(one) for one in found]))
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] != "--questions":
        sys.argv[1:1] = ["--questions", str(QUESTIONS)]
    sys.exit(_main(sys.argv[1:]))
