"""A copy of a bundle with one part replaced: checked, judged, sealed anew."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nearline import bundle_probe, rankers
from nearline.bundle_probe import Probe, ProbeFailed
from nearline.clock import utc
from nearline.contracts import bundle as contract
from nearline.contracts.bundle import (
    RANKER_FILES,
    EncoderSpec,
    IndexSpec,
    Lineage,
    Manifest,
    RankerFormat,
    RankerSpec,
)
from nearline.say import Words
from nearline.transforms.ranking import RANKER_FEATURES
from training import card, ranker_trial
from training.bring import graphs, reading
from training.bring.refusal import Refused
from training.bundle import code_version
from training.encoder_trial import EncoderTrial
from training.metrics import paired_bootstrap, single_ndcg, single_target
from training.ranker_trial import Exam

# Axes: Q questions, R rows, I items, D dimensions.
FloatID = npt.NDArray[np.float32]
# How the names of figures begin that speak of a ranker, of how it learnt, of what it replaced.
_OF_RANKER = ("rank_", "ranker_", "brought_", "exposed_", "examined_", "logged_")
SLOWEST_MS = 1_000.0  # Serving stops waiting for a ranker after 1,500 ms.


@dataclass(frozen=True, slots=True)
class Parent:
    """The bundle that a part is put into."""

    version: str
    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Made:
    """A sealed copy with another part, and how that part did."""

    folder: Path
    manifest: Manifest
    ndcg: float
    champion_ndcg: float
    lead: tuple[float, float, float]
    probe: Probe
    notes: tuple[Words, ...] = ()


def item_ids(folder: Path) -> list[str]:
    """The items of a bundle, in the order of its rows."""
    rows = msgspec.json.decode((folder / contract.ITEMS).read_bytes(), type=list[list[Any]])
    return [str(row[0]) for row in rows]


def with_ranker(
    parent: Parent,
    model: Any,
    features: Sequence[str] | None,
    form: str | None,
    exam: Exam,
    by: str,
    now_us: int,
    seed: int,
) -> Made:
    """The parent with another ranker; raises Refused."""
    folder = _copied(parent)
    if parent.manifest.ranker is not None:
        (folder / parent.manifest.ranker.file).unlink()
    spec = _ranker_file(model, features, form, folder)
    manifest = msgspec.structs.replace(parent.manifest, ranker=spec)
    probe = _tried(folder, manifest)
    scores_R = _scores(folder, spec, exam)
    if problem := _useless(scores_R):
        raise Refused(problem)
    verdict = ranker_trial.judge(exam, scores_R, seed)
    own_Q, rival_Q = verdict.each["ranker"], verdict.each["retrieval"]
    before = parent.manifest.ranker
    if before is not None and not _useless(held_R := _scores(parent.folder, before, exam)):
        rival_Q = exam.ndcg(exam.by_scores(held_R))
    lead = paired_bootstrap(own_Q, rival_Q, seed)
    metrics = _without(parent.manifest.metrics, *_OF_RANKER)
    metrics |= ranker_trial.figures(exam, verdict, seed) | _named("brought_lead", lead)
    kept = _sealed(folder, parent, manifest, metrics, f"{by}: ranker", now_us)
    return Made(folder, kept, float(own_Q.mean()), float(rival_Q.mean()), lead, probe)


def with_encoder(
    parent: Parent,
    model: Any,
    vectors_ID: FloatID,
    trial: EncoderTrial,
    by: str,
    now_us: int,
    seed: int,
) -> Made:
    """The parent with another encoder, its index, and no ranker; raises Refused."""
    from training.index import flat_index

    folder = _copied(parent)
    length, dimension = _encoder_file(model, folder)
    vectors = np.ascontiguousarray(vectors_ID, np.float32)
    if vectors.shape != (parent.manifest.items, dimension):
        raise Refused(
            f"its item vectors are {vectors.shape}; expected one row for each of the bundle's "
            f"{parent.manifest.items} items and {dimension} columns, as its query has"
        )
    if not np.isfinite(vectors).all():
        raise Refused("its item vectors hold values that are no numbers")
    if length != trial.questions.items_WL.shape[1]:
        raise Refused(
            f"it reads histories of {length} items; the test asks with "
            f"{trial.questions.items_WL.shape[1]}"
        )
    import faiss

    faiss.write_index(flat_index(vectors), str(folder / contract.INDEX))
    (folder / contract.CONTENT).unlink(missing_ok=True)  # It lies among the old vectors.
    if parent.manifest.ranker is not None:
        (folder / parent.manifest.ranker.file).unlink()
    manifest = msgspec.structs.replace(
        parent.manifest, ranker=None, encoder=EncoderSpec(length, dimension), index=IndexSpec()
    )
    probe = _tried(folder, manifest)
    session = rankers.onnx_session(folder / contract.ENCODER)

    def queries(
        items_QL: npt.NDArray[np.int64], kinds_QL: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        found = session.run(["query"], {"items": items_QL, "kinds": kinds_QL})[0]
        return np.asarray(found, np.float32)

    places_Q = trial.places(queries, vectors)
    own_Q, held_Q = single_ndcg(places_Q, 10), single_ndcg(trial.places_Q, 10)
    lead = paired_bootstrap(own_Q, held_Q, seed)
    metrics = _without(parent.manifest.metrics, *_OF_RANKER, "encoder_")
    metrics |= _named("brought_lead", lead)
    metrics["encoder_recall_at_20"] = single_target(places_Q, 20)[0]
    metrics["encoder_ndcg_at_10"] = float(own_Q.mean())
    kept = _sealed(folder, parent, manifest, metrics, f"{by}: encoder", now_us)
    note = Words(
        "The champion's ranker was left out: it has learnt another encoder's scores. Candidates "
        "stand in retrieval's order.",
        "线上的排序模型已略去：它学的是另一个编码器的分数。候选按召回顺序排列。",
    )
    return Made(folder, kept, float(own_Q.mean()), float(held_Q.mean()), lead, probe, (note,))


def _copied(parent: Parent) -> Path:
    folder = parent.folder.parent / "made"
    shutil.copytree(parent.folder, folder)
    return folder


def _ranker_file(
    model: Any, features: Sequence[str] | None, form: str | None, folder: Path
) -> RankerSpec:
    """Write the model into the folder in its form; raises Refused."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        path = _as_file(model, Path(aside))
        kind = reading.form_of(path, form)
        file = RANKER_FILES[kind]
        takes, own_names = reading.canonical(path, kind, folder / file)
    if features is None:
        features = own_names or RANKER_FEATURES
    _check_features(list(features), takes, own_names)
    if kind is RankerFormat.ONNX:
        import onnx

        graphs.check_ranker(onnx.load(str(folder / file)), len(features))
    return RankerSpec(kind, file, list(features))


def _encoder_file(model: Any, folder: Path) -> tuple[int, int]:
    """Write the encoder into the folder; return its history length and dimension."""
    import onnx

    with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
        path = _as_file(model, Path(aside))
        if reading.form_of(path, None) is not RankerFormat.ONNX:
            raise Refused(f"an encoder is ONNX, and {path.suffix} is not")
        reading.canonical(path, RankerFormat.ONNX, folder / contract.ENCODER)
    return graphs.check_encoder(onnx.load(str(folder / contract.ENCODER)))


def _as_file(model: Any, folder: Path) -> Path:
    return Path(model) if isinstance(model, str | Path) else reading.dump(model, folder)


def _check_features(features: list[str], takes: int, own_names: list[str]) -> None:
    odd = [name for name in features if name not in RANKER_FEATURES]
    if odd:
        near = difflib.get_close_matches(odd[0], RANKER_FEATURES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise Refused(
            f"serving has no feature {', '.join(map(repr, odd[:5]))}{hint} All that it has: "
            "nearline.transforms.ranking.RANKER_FEATURES"
        )
    if len(set(features)) != len(features):
        twice = sorted({name for name in features if features.count(name) > 1})
        raise Refused(f"it names features twice: {', '.join(twice[:5])}")
    if takes and takes != len(features):
        raise Refused(f"it takes {takes} features, and {len(features)} are named")
    if own_names and set(own_names) <= set(RANKER_FEATURES) and own_names != features:
        raise Refused(
            "the features that it says it learnt from are not those named here, or stand in "
            f"another order: its first are {own_names[:3]}, named are {features[:3]}"
        )


def _tried(folder: Path, manifest: Manifest) -> Probe:
    """Seal what is there and let it answer made-up questions; raises Refused."""
    _seal(folder, manifest)
    try:
        (probe,) = bundle_probe.measure([folder])
    except ProbeFailed as error:
        raise Refused(error.why) from error
    if probe.p99_ms > SLOWEST_MS:
        raise Refused(
            f"its slowest hundredth of answers take {probe.p99_ms:.0f} ms; customers wait "
            f"{SLOWEST_MS:.0f} ms at most. Fewer trees or narrower layers make it quicker"
        )
    return probe


def _scores(folder: Path, spec: RankerSpec, exam: Exam) -> npt.NDArray[np.float32]:
    return rankers.read(folder, spec).scores(exam.rows.features_RF)


def _useless(scores_R: npt.NDArray[np.float32]) -> str:
    """Why nothing can be ordered by such scores; empty where it can."""
    bad = int((~np.isfinite(scores_R)).sum())
    if bad:
        return f"its scores are no numbers for {bad:,} of {len(scores_R):,} rows of the test"
    if len(scores_R) and (scores_R == scores_R[0]).all():
        return "it gives every row of the test the same score"
    return ""


def _named(name: str, lead: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), lead, strict=True))


def _without(metrics: dict[str, float], *prefixes: str) -> dict[str, float]:
    """The parent's figures, less those of a part that is no longer in it."""
    return {name: value for name, value in metrics.items() if not name.startswith(prefixes)}


def _sealed(
    folder: Path,
    parent: Parent,
    manifest: Manifest,
    metrics: dict[str, float],
    brought_by: str,
    now_us: int,
) -> Manifest:
    before = parent.manifest.lineage
    manifest = msgspec.structs.replace(
        manifest,
        created_at=utc(now_us).isoformat().replace("+00:00", "Z"),
        metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
        code_version=code_version(),
        lineage=Lineage(before.recipe, before.history_fingerprint, parent.version, brought_by),
    )
    (folder / "card.md").write_text(card.of_brought(manifest), encoding="utf-8")
    return _seal(folder, manifest)


def _seal(folder: Path, manifest: Manifest) -> Manifest:
    sealed = msgspec.structs.replace(manifest, digests=contract.digests_of(folder))
    contract.write_manifest(folder, sealed)
    return contract.verify(folder, "just made")
