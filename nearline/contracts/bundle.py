"""Contract 5: the bundle, the only thing that passes from training to serving.

A bundle is a directory of data files under one manifest that names each with its digest.
Nothing in it can execute code: ONNX, FAISS, XGBoost UBJ and JSON only.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec

from nearline.errors import PermanentError

MANIFEST_VERSION = 1
MANIFEST = "manifest.json"
ENCODER = "encoder.onnx"
INDEX = "index.faiss"
ITEMS = "items.json"  # [[item_id, category, price_cents, first_seen_us], ...]; row = item_index
POPULAR = "popular.json"  # item_index, most popular first
RANKER = "ranker.ubj"
CALIBRATION = "calibration.json"  # {"churn_14d": {"x": [...], "y": [...]}, ...}
ALLOWED_SUFFIXES = {".onnx", ".faiss", ".json", ".ubj", ".md"}
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


class ChurnSpec(msgspec.Struct, frozen=True):
    """One churn model: its file, and its horizon in days without any event."""

    name: str
    horizon_days: int
    file: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is, and what it needs from whoever serves it."""

    created_at: str  # RFC 3339, UTC
    data_from: str  # RFC 3339: the first event that training saw
    data_to: str  # and the last
    items: int
    encoder: EncoderSpec
    customer_features: list[str]
    item_features: list[str]
    ranker_features: list[str]
    features_hash: str  # of the three lists; see `features_hash`
    churn: list[ChurnSpec]
    metrics: dict[str, float]
    libraries: dict[str, str]
    code_version: str
    digests: dict[str, str]  # file -> sha256, for every file but the manifest
    manifest_version: int = MANIFEST_VERSION


def features_hash(*lists: list[str]) -> str:
    """A short digest of feature names in their order; equal lists give equal digests."""
    return hashlib.sha256(json.dumps(lists).encode()).hexdigest()[:16]


def digests_of(directory: Path) -> dict[str, str]:
    """The sha256 of every file in a bundle but its manifest."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.name != MANIFEST
    }


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Seal a bundle: the manifest is written last, over the files as they are."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (directory / MANIFEST).write_bytes(data + b"\n")


def verify(directory: Path, name: str) -> Manifest:
    """Read the manifest and check every file against it; raises BundleRefused with the reason."""
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
    for model in manifest.churn:
        if model.file not in manifest.digests:
            raise BundleRefused(
                name, f"it names {model.file} for {model.name} but does not hold it"
            )
    lists = (manifest.customer_features, manifest.item_features, manifest.ranker_features)
    if features_hash(*lists) != manifest.features_hash:
        raise BundleRefused(name, "its feature lists do not match their hash")
    return manifest
