"""What finds candidates: the encoder, the index, and the items that its rows are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts import bundle as contract
from nearline.contracts.bundle import BundleRefused, Manifest
from nearline.transforms.candidates import Catalogue

# Axes: I items, D dimensions, L places in the history.
FloatID = npt.NDArray[np.float32]
IntL = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Finder:
    """What finds candidates: the encoder, the index and the items that its rows are."""

    encoder: Any  # onnxruntime.InferenceSession
    index: Any  # faiss.Index
    unit_vectors: FloatID  # rows of the index, each of length 1 (or 0)
    catalogue: Catalogue
    prices_cents: tuple[int, ...]
    popular: tuple[int, ...]
    history_length: int

    def query_vector(self, items: IntL, kinds: IntL) -> FloatID:
        """The encoder's (1, D) answer for one history; raises ValueError when not finite."""
        (query,) = self.encoder.run(["query"], {"items": items[None, :], "kinds": kinds[None, :]})
        vector = np.asarray(query, dtype=np.float32)
        if not np.isfinite(vector).all():
            raise ValueError("the encoder's output is not finite")
        return vector


def read(folder: Path, version: str, manifest: Manifest) -> Finder:
    import faiss

    faiss.omp_set_num_threads(1)
    rows = msgspec.json.decode(
        (folder / contract.ITEMS).read_bytes(), type=list[tuple[str, str, int, int]]
    )
    index = faiss.read_index(str(folder / contract.INDEX))
    if not index.ntotal == len(rows) == manifest.items or not rows:
        raise BundleRefused(
            version,
            f"it has {index.ntotal} vectors, {len(rows)} items and a manifest of {manifest.items}",
        )
    if index.d != manifest.encoder.dimension:
        raise BundleRefused(
            version, f"its index has {index.d} dimensions, its encoder {manifest.encoder.dimension}"
        )
    popular = msgspec.json.decode((folder / contract.POPULAR).read_bytes(), type=list[int])
    if any(not 0 <= row < len(rows) for row in popular):
        raise BundleRefused(version, "its popular items point outside its items")
    vectors = index.reconstruct_n(0, index.ntotal)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return Finder(
        encoder=onnx_session(folder / contract.ENCODER),
        index=index,
        unit_vectors=vectors / np.where(norms > 0, norms, 1.0),
        catalogue=Catalogue.of([row[0] for row in rows], [row[1] for row in rows]),
        prices_cents=tuple(row[2] for row in rows),
        popular=tuple(popular),
        history_length=manifest.encoder.history_length,
    )


def smoke(version: str, finder: Finder) -> None:
    items, kinds = (
        np.zeros(finder.history_length, np.int64),
        np.zeros(finder.history_length, np.int64),
    )
    items[-1], kinds[-1] = 1, 1
    query = finder.query_vector(items, kinds)
    if query.shape != (1, finder.index.d):
        raise BundleRefused(version, f"its encoder answers {query.shape}")
    _, found = finder.index.search(query, 1)
    if found[0, 0] < 0:
        raise BundleRefused(version, "its index finds nothing")


def onnx_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(path), sess_options=options, providers=["CPUExecutionProvider"]
    )
