"""Contract 5: the bundle, the only thing that passes from training to serving.

A bundle is a directory of data files under one manifest that names each with its digest.
Nothing in it can execute code: ONNX, FAISS, XGBoost UBJ, LightGBM text, arrays and JSON only.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path

import msgspec

from nearline.errors import PermanentError

MANIFEST_VERSION = 2
MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
INDEX = "index.faiss"
ITEMS = "items.json"  # [[item_id, category, price_cents, first_seen_us], ...]; row = item_index
POPULAR = "popular.json"  # item_index, most popular first
COVISITS = "covisits.npz"  # see `transforms.covisits`; read with allow_pickle=False
CONTENT = "content.json"  # see `transforms.content`
LIFETIME = "lifetime.json"  # parameters of BG/NBD and Gamma-Gamma, in weeks and cents
CATEGORY_SHARES = "category_shares.json"  # {category: share of the last days' purchases}
CALIBRATION = "calibration.json"  # {"churn_14d": {"x": [...], "y": [...]}, ...}
ALLOWED_SUFFIXES = {".onnx", ".faiss", ".json", ".npz", ".ubj", ".txt", ".md"}
REGISTERED_MODEL = "nearline"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


class BundleRefused(PermanentError):
    """A bundle that must not serve; the one already loaded stays."""

    def __init__(self, bundle: str, why: str) -> None:
        self.bundle, self.why = bundle, why
        super().__init__(
            f"bundle {bundle} is refused: {why}. The bundle that serves now stays; "
            "train and register again with `nearline train`."
        )


class EncoderSpec(msgspec.Struct, frozen=True):
    """The encoder's shape.

    Inputs `items` and `kinds` are int64 (batch, history_length), oldest first: item row + 1,
    0 for padding on the left. Output `query` is float32 (batch, dimension).
    """

    history_length: int
    dimension: int


class IndexSpec(msgspec.Struct, frozen=True):
    """The kind of index, and the share of the exact 100 nearest items that it finds.

    `recall_at_100` was measured with vectors of real customers; an exact index has 1.
    """

    kind: str = "flat"  # or "hnsw"
    recall_at_100: float = 1.0


class RankerFormat(StrEnum):
    """In which form a ranker's trees or layers are kept. None of them can execute code."""

    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    ONNX = "onnx"


RANKER_FILES = {  # The name tells the form, so that people see it too.
    RankerFormat.XGBOOST: "ranker.ubj",
    RankerFormat.LIGHTGBM: "ranker.txt",
    RankerFormat.ONNX: "ranker.onnx",
}


class RankerSpec(msgspec.Struct, frozen=True):
    """A ranker and its inputs: names out of the manifest's `ranker_features`, in its own order.

    It answers one score per row, float32, higher is better. ONNX: one input (batch, F) float32,
    the first output holds the scores, (batch,) or (batch, 1).
    """

    format: RankerFormat
    file: str
    features: list[str]


class Task(StrEnum):
    """What a score says about a customer."""

    CHURN = "churn"  # silence over the whole horizon
    REPURCHASE = "repurchase"  # at least one more purchase within it
    CATEGORY_DEMAND = "category_demand"  # a purchase of one category within it


class ScoreSpec(msgspec.Struct, frozen=True):
    """One calibrated probability: trees (.ubj), their inputs in order, and the horizon.

    It was calibrated on customers seen within `active_days`, and says nothing of others; 0 sets
    no such bound.
    """

    name: str
    task: Task
    horizon_days: int
    file: str
    features: list[str]
    active_days: int = 0


class Lineage(msgspec.Struct, frozen=True):
    """Where a bundle comes from. Empty strings where there is nothing to name."""

    recipe: str = ""
    history_fingerprint: str = ""  # of the files of history that were read
    parent: str = ""  # version whose models this one went on from, or whose parts it borrowed
    brought_by: str = ""  # who registered a part from outside, and which, such as "ann: ranker"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is, and what it needs from whoever serves it."""

    created_at: str  # RFC 3339, UTC
    data_from: str  # RFC 3339: the first event that training saw
    data_to: str  # and the last
    items: int
    encoder: EncoderSpec
    index: IndexSpec = IndexSpec()
    ranker: RankerSpec | None = None
    customer_features: list[str]
    item_features: list[str]
    ranker_features: list[str]  # all that serving can assemble; a ranker may use some
    features_hash: str  # of the three lists; see `features_hash`
    scores: list[ScoreSpec] = msgspec.field(default_factory=list)
    metrics: dict[str, float]
    libraries: dict[str, str]
    code_version: str
    lineage: Lineage = Lineage()
    digests: dict[str, str]  # file -> sha256, for every file but the manifest
    manifest_version: int = MANIFEST_VERSION


def features_hash(*lists: list[str]) -> str:
    """A short digest of feature names in their order; equal lists give equal digests."""
    return hashlib.sha256(json.dumps(lists).encode()).hexdigest()[:16]


def digests_of(directory: Path) -> dict[str, str]:
    """The sha256 of every file in a bundle but its manifest; "" for what is no file."""
    return {
        path.name: _sha256(path) if path.is_file() else ""
        for path in sorted(directory.iterdir())
        if path.name != MANIFEST
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:  # Read in pieces: an index may have gigabytes.
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Seal a bundle: the manifest is written last, over the files as they are."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / MANIFEST).write_bytes(data + b"\n")


def verify(directory: Path, name: str) -> Manifest:
    """Read the manifest and check every file against it; raises BundleRefused with the reason."""
    try:
        return _verified(directory, name)
    except OSError as error:
        raise BundleRefused(name, f"its files cannot be read ({type(error).__name__})") from error


def _verified(directory: Path, name: str) -> Manifest:
    path = directory / MANIFEST
    if not path.is_file():
        raise BundleRefused(name, f"it has no {MANIFEST}")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BundleRefused(name, f"its manifest cannot be read ({error})") from error
    if manifest.manifest_version != MANIFEST_VERSION:
        raise BundleRefused(
            name,
            f"its manifest is version {manifest.manifest_version}, this code reads "
            f"{MANIFEST_VERSION}",
        )
    found = digests_of(directory)
    foreign = sorted(set(found) - set(manifest.digests))
    if foreign:
        raise BundleRefused(name, f"it holds files that the manifest does not name: {foreign}")
    for file, digest in manifest.digests.items():
        if Path(file).suffix not in ALLOWED_SUFFIXES:
            raise BundleRefused(name, f"{file} is not a kind of file that a bundle may hold")
        if found.get(file) != digest:
            raise BundleRefused(name, f"{file} is missing or was changed after it was sealed")
    needed = {model.name: model.file for model in manifest.scores}
    if manifest.ranker is not None:
        needed["ranker"] = manifest.ranker.file
    for what, file in needed.items():
        if file not in manifest.digests:
            raise BundleRefused(name, f"it names {file} for {what} but does not hold it")
    lists = (manifest.customer_features, manifest.item_features, manifest.ranker_features)
    if features_hash(*lists) != manifest.features_hash:
        raise BundleRefused(name, "its feature lists do not match their hash")
    if manifest.ranker is not None:
        odd = sorted(set(manifest.ranker.features) - set(manifest.ranker_features))
        if odd:
            raise BundleRefused(name, f"its ranker asks for unknown features: {odd[:5]}")
    return manifest
