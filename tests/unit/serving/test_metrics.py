"""What the gateway counts, by the role of the bundle that answered."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from nearline.contracts.answer import Chosen, RecommendQuery
from serving.metrics import MeasuredAnswers, Metrics


def counted(metrics: Metrics, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a name by the values of their labels, without those that are 0."""
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == name and sample.value
    }


def test_the_metrics_tell_champion_challenger_and_no_bundle_apart(
    world: Any, tiny: ModuleType, tmp_path: Path
) -> None:
    other = tiny.write(tmp_path / "2", seed=5, ranker=False)
    world.shelf.prepare("2", other)
    world.shelf.challenge("2")
    metrics = Metrics(world.exposures)
    answers = MeasuredAnswers(world.answering, metrics)

    async def story() -> None:
        for chosen in (Chosen.CHAMPION, Chosen.CHALLENGER, Chosen.CHALLENGER):
            await answers.recommend(RecommendQuery("ann", bundle=chosen))
        held, world.shelf._held = world.shelf._held, {}  # no bundle
        await answers.recommend(RecommendQuery("ann"))
        world.shelf._held = held
        world.features.down = True
        await answers.churn("ann", None)
        await answers.tags("ann", None)

    asyncio.run(story())

    assert counted(metrics, "nearline_recommend_latency_ms_count", "bundle_role") == {
        ("champion",): 1,
        ("challenger",): 2,
        ("none",): 1,
    }
    assert counted(metrics, "nearline_degraded_total", "answer", "missing", "bundle_role") == {
        ("recommend", "ranker_unavailable", "challenger"): 2,
        ("recommend", "bundle_unavailable", "none"): 1,
        ("recommend", "nothing_to_recommend", "none"): 1,
        ("churn", "features_unavailable", "champion"): 1,
        ("churn", "churn_unavailable", "champion"): 1,
        ("tags", "features_unavailable", "none"): 1,
    }


def test_every_role_is_there_before_its_first_answer(world: Any) -> None:
    """A rate over a series that begins with its first answer would not see that answer."""
    page = Metrics(world.exposures).text().decode()

    for role in ("champion", "challenger", "none"):
        assert f'nearline_recommend_latency_ms_count{{bundle_role="{role}"}} 0.0' in page


def test_a_challenger_that_is_not_there_counts_as_the_champion_that_answered(world: Any) -> None:
    metrics = Metrics(world.exposures)
    answers = MeasuredAnswers(world.answering, metrics)

    asyncio.run(answers.recommend(RecommendQuery("ann", bundle=Chosen.CHALLENGER)))

    assert counted(metrics, "nearline_degraded_total", "missing", "bundle_role") == {
        ("challenger_unavailable", "champion"): 1
    }
