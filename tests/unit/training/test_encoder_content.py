from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from training import encoder
from training.config import EncoderConfig
from training.datasets import Interactions
from training.encoder_content import ItemContent
from training.encoder_model import Encoder
from training.sequences import questions

CONFIG = EncoderConfig(
    history_length=8, dimension=8, negatives=16, batch_size=16, max_epochs=3, patience=3
)
CATEGORIES = ["shoes", "hats", "", "shoes"]
PRICES = [1_000, 2_000, 3_000, 0]


def test_without_any_category_there_is_no_content() -> None:
    assert ItemContent.of(["", ""], [100, 200]) is None


def test_unknown_category_and_price_are_number_0() -> None:
    content = ItemContent.of(CATEGORIES, PRICES)

    assert content is not None
    assert content.names == ("hats", "shoes")
    assert content.category_I.tolist() == [2, 1, 0, 2]
    assert content.band_I[3] == 0
    assert (content.band_I[:3] > 0).all()


def test_items_without_any_price_share_one_band() -> None:
    content = ItemContent.of(["a", "b"], [0, 0])

    assert content is not None
    assert content.edges_cents == ()
    assert content.band_I.tolist() == [0, 0]


def test_the_table_that_serves_says_what_the_model_says() -> None:
    content = ItemContent.of(CATEGORIES, PRICES)
    model = Encoder(4, CONFIG, content)
    with torch.no_grad():
        for part in (model.category, model.band):
            part.weight[1:].normal_()

    table = encoder.content_table(model)

    assert table is not None
    np.testing.assert_allclose(
        table.vectors(CATEGORIES, PRICES), model.described()[1:].detach().numpy(), rtol=1e-6
    )


def test_an_item_is_its_own_part_and_its_content() -> None:
    model = Encoder(4, CONFIG, ItemContent.of(CATEGORIES, PRICES))
    with torch.no_grad():
        model.category.weight[1:].normal_()
    wanted = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)

    encoder._put(model, wanted)

    np.testing.assert_allclose(encoder.item_vectors(model), wanted, atol=1e-6)
    hidden = model.table(torch.zeros(5))[1:].detach().numpy()
    np.testing.assert_allclose(hidden, model.described()[1:].detach().numpy())


def test_an_unmet_item_is_found_by_its_category_alone() -> None:
    """Two worlds: customers of hats meet hats, customers of shoes meet shoes."""
    generator = np.random.default_rng(1)
    customers, items = [], []
    for customer in range(120):
        world = customer % 2
        for item in generator.permutation(10)[:6]:
            customers.append(customer)
            items.append(2 * int(item) + world)
    count = np.arange(len(items))
    log = Interactions(np.array(customers), np.array(items), np.ones(len(items), int), count, count)
    # Items 20 and 21 are new: nobody has met them.
    content = ItemContent.of(["hats", "shoes"] * 11, [500] * 22)
    config = replace(CONFIG, id_dropout=0.3, max_epochs=8, dropout=0.0)
    start = np.random.default_rng(2).normal(0, 0.1, (22, 8)).astype(np.float32)
    torch.manual_seed(0)
    model = Encoder(22, config, content)
    encoder._put(model, start)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    lessons = encoder.windows(log, config.history_length)
    for epoch in range(config.max_epochs):
        encoder._epoch(model, optimizer, lessons, np.unique(log.item) + 1, config, epoch)

    asked = questions(log, config.history_length, -1, len(items), 200, 0)
    table = encoder.content_table(model)
    assert table is not None
    new = table.vectors(["hats", "shoes"], [500, 500])
    scores = encoder.query_vectors(model, asked.items_WL, asked.kinds_WL) @ new.T
    right = (scores.argmax(axis=1) == asked.targets_W % 2).mean()
    assert right > 0.9


def test_the_learning_rate_stays_level_and_then_falls_in_a_line() -> None:
    config = EncoderConfig(learning_rate=1.0, cooling_from=3, max_epochs=6)

    rates = [encoder.learning_rate(config, epoch) for epoch in range(1, 7)]

    assert rates == [1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert encoder.learning_rate(replace(config, cooling_from=0), 6) == 1.0
