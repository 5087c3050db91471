"""A bundle of a made-up shop, by training's own parts: what `nearline bench growth` serves.

Nothing is learnt: the encoder has the shipped shape and says little but what the newest item
is, the ranker has 200 trees of depth 6 that fit noise, and the index is chosen and measured by
the gate that real bundles pass. Run as `python -m training.growth` with a `Make` on stdin;
prints lines of `Step`, then one of `Made`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import faiss
import msgspec
import numpy as np
import torch
import xgboost

from nearline.bench.growth.shapes import Made, Make, Step, Tried
from nearline.bench.growth.shop import NOW_US, Shop, category, customer_id, item_id
from nearline.bench.stats import percentile
from nearline.contracts import bundle as contract
from nearline.contracts.bundle import RANKER_FILES, RankerFormat
from nearline.transforms import customer
from nearline.transforms.candidates import encoder_input
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import RANKER_FEATURES
from training.bundle import code_version
from training.config import EncoderConfig
from training.encoder_export import export
from training.encoder_model import Encoder
from training.index import EF_SEARCH, FLAT_BELOW, RECALL_AT, Chosen, choose, flat_index, recall_of

# Axes: I items, D dimensions, Q queries.
_TREES, _DEPTH, _LESSONS = 200, 6, 20_000
_QUIET = 0.05  # Of the layers' outputs, so that a query lies near what was met last.


def make(ask: Make) -> Made:
    """Write and seal the bundle."""
    folder, shop = Path(ask.folder), Shop.of(ask.items, ask.seed)
    folder.mkdir(parents=True)
    say("items")
    encoder = _encoder(shop, ask.seed)
    export(encoder, folder / contract.ENCODER)
    say("encoder")
    queries_QD = _queries(shop, encoder, ask)
    began_s = time.perf_counter()
    tried = choose(shop.vectors_ID, lambda: queries_QD, flat_below=0)
    made_index_s = time.perf_counter() - began_s
    chosen = tried if ask.items >= FLAT_BELOW else choose(shop.vectors_ID, lambda: queries_QD)
    say("index")
    rows = _tried(shop, tried, queries_QD)
    faiss.write_index(chosen.index, str(folder / contract.INDEX))
    say("searches")
    covisits = shop.covisits(ask.seed)
    np.savez(folder / contract.COVISITS, allow_pickle=False, **covisits.arrays())
    (folder / contract.CONTENT).write_bytes(msgspec.json.encode(shop.content(ask.seed)))
    (folder / contract.ITEMS).write_bytes(
        msgspec.json.encode(
            [
                (item_id(row), category(of), price, NOW_US)
                for row, (of, price) in enumerate(
                    zip(shop.category_I.tolist(), shop.prices_cents_I.tolist(), strict=True)
                )
            ]
        )
    )
    (folder / contract.POPULAR).write_bytes(msgspec.json.encode(shop.popular(ask.seed)))
    say("tables")
    _ranker(ask.seed).save_model(folder / RANKER_FILES[RankerFormat.XGBOOST])
    say("ranker")
    _seal(folder, ask, chosen)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return Made(rows, chosen.spec.kind, chosen.why.en, made_index_s, sizes)


def _encoder(shop: Shop, seed: int) -> Encoder:
    torch.manual_seed(seed)
    encoder = Encoder(len(shop), EncoderConfig()).eval()
    with torch.no_grad():
        encoder.item.weight[1:] = torch.from_numpy(shop.vectors_ID)
        for name, weight in encoder.blocks.named_parameters():
            if "attention_out" in name or "forward_out" in name:
                weight.mul_(_QUIET)
    return encoder


def _queries(shop: Shop, encoder: Encoder, ask: Make) -> np.ndarray:
    """(Q, D): what the encoder says of customers of this shop."""
    index_of = {item_id(row): row for row in range(len(shop))}
    histories = [
        encoder_input(
            customer.fold(shop.events(customer_id(number), ask.seed + number)),
            index_of,
            encoder.length,
        )
        for number in range(ask.queries)
    ]
    items, kinds = (torch.from_numpy(np.stack(one)) for one in zip(*histories, strict=True))
    with torch.no_grad():
        return np.ascontiguousarray(encoder(items, kinds).numpy(), np.float32)


def _tried(shop: Shop, tried: Chosen, queries_QD: np.ndarray) -> list[Tried]:
    """The exact search and, where the gate lets one pass, the graph at every width."""
    faiss.omp_set_num_threads(1)  # As replicas search.
    flat = flat_index(shop.vectors_ID)
    _, exact_QK = flat.search(queries_QD, min(RECALL_AT, len(shop)))
    found = [Tried("flat", 0, *_times(flat, queries_QD, len(shop)), 1.0)]
    if tried.spec.kind == "hnsw":
        chosen = tried.index.hnsw.efSearch
        for width in EF_SEARCH:
            tried.index.hnsw.efSearch = width
            times = _times(tried.index, queries_QD, len(shop))
            found.append(Tried("hnsw", width, *times, recall_of(tried.index, queries_QD, exact_QK)))
        tried.index.hnsw.efSearch = chosen
    return found


def _times(index: faiss.Index, queries_QD: np.ndarray, items: int) -> tuple[float, float]:
    samples_ms = []
    for query_D in queries_QD:
        began_s = time.perf_counter()
        index.search(query_D[None, :], min(RECALL_AT, items))
        samples_ms.append((time.perf_counter() - began_s) * 1_000)
    return percentile(samples_ms, 0.50), percentile(samples_ms, 0.99)


def _ranker(seed: int) -> xgboost.Booster:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((_LESSONS, len(RANKER_FEATURES)), dtype=np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    labels = np.nansum(rows[:, ::7], axis=1) + rng.standard_normal(_LESSONS)
    parameters = {"max_depth": _DEPTH, "seed": seed, "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(rows, labels), _TREES)


def _seal(folder: Path, ask: Make, chosen: Chosen) -> None:
    lists = [list(CUSTOMER_FEATURES), list(ITEM_FEATURES), list(RANKER_FEATURES)]
    file, config = RANKER_FILES[RankerFormat.XGBOOST], EncoderConfig()
    contract.write_manifest(
        folder,
        contract.Manifest(
            created_at="2026-11-20T19:00:00Z",
            data_from="2026-10-21T19:00:00Z",
            data_to="2026-11-20T19:00:00Z",
            items=ask.items,
            encoder=contract.EncoderSpec(config.history_length, config.dimension),
            index=chosen.spec,
            ranker=contract.RankerSpec(RankerFormat.XGBOOST, file, lists[2]),
            customer_features=lists[0],
            item_features=lists[1],
            ranker_features=lists[2],
            features_hash=contract.features_hash(*lists),
            metrics={},
            libraries={},
            code_version=code_version(),
            lineage=contract.Lineage(recipe="growth: made up, nothing learnt"),
            digests=contract.digests_of(folder),
        ),
    )


def say(done: str) -> None:
    """A line of progress."""
    sys.stdout.write(msgspec.json.encode(Step(done)).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make what stdin asks for."""
    made = make(msgspec.json.decode(sys.stdin.buffer.read(), type=Make))
    sys.stdout.write(msgspec.json.encode(made).decode() + "\n")


if __name__ == "__main__":
    main()
