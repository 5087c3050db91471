"""What finds candidates: the encoder, the index, and the items that its rows are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.contracts import bundle as contract
from nearline.contracts.bundle import BundleRefused, Manifest
from nearline.rankers import onnx_session
from nearline.transforms.candidates import Catalogue
from nearline.transforms.chains import Column
from nearline.transforms.content import ContentTable
from nearline.transforms.covisits import CovisitTable
from nearline.transforms.shelves import Shelves
from nearline.transforms.sources import Sources
from nearline.transforms.taste import Contents, naming_order

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
    prices_cents: Column[int]
    sources: Sources  # without arrivals, which come and go beside a bundle
    shelves: Shelves
    history_length: int

    @property
    def popular(self) -> Sequence[int]:
        """Item rows, most popular first."""
        return self.sources.popular

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
    categories = [sys.intern(row[1]) for row in rows]  # Few names, a million times.
    catalogue = Catalogue.of([row[0] for row in rows], categories)
    order = naming_order(range(len(rows)), popular, [row[3] for row in rows])
    contents = _contents(folder, version, rows, order, index.d)
    return Finder(
        encoder=onnx_session(folder / contract.ENCODER),
        index=index,
        unit_vectors=vectors / np.where(norms > 0, norms, 1.0),
        catalogue=catalogue,
        prices_cents=tuple(row[2] for row in rows),
        sources=Sources(
            known=catalogue,
            catalogue=catalogue,
            popular=tuple(popular),
            covisits=_covisits(folder, version, len(rows)),
            contents=contents,
        ),
        shelves=Shelves.of(categories, order, popular),
        history_length=manifest.encoder.history_length,
    )


def _covisits(folder: Path, version: str, items: int) -> CovisitTable | None:
    path = folder / contract.COVISITS
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        try:
            return CovisitTable.from_arrays(dict(arrays), items)
        except ValueError as error:
            raise BundleRefused(version, str(error)) from error


def _contents(
    folder: Path,
    version: str,
    rows: Sequence[tuple[str, str, int, int]],
    order: Sequence[int],
    dimension: int,
) -> Contents | None:
    path = folder / contract.CONTENT
    if not path.is_file():
        return None
    table = msgspec.json.decode(path.read_bytes(), type=ContentTable)
    lengths = {len(vector) for vector in (*table.categories.values(), *table.prices)}
    if lengths != {dimension} or len(table.prices) != len(table.price_edges_cents) + 1:
        raise BundleRefused(
            version,
            f"its content table has vectors of {sorted(lengths)} and {len(table.prices)} price "
            f"bands for {len(table.price_edges_cents)} edges; its index has {dimension} dimensions",
        )
    return Contents.of(table, [row[1] for row in rows], [row[2] for row in rows], order)


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
