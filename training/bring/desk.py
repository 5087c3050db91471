"""The desk: lessons out, a model in, a challenger registered or a sentence why not."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearline import settings as settings_module
from nearline.clock import Clock, SystemClock
from nearline.contracts.bundle import CHALLENGER, CHAMPION, Manifest
from nearline.errors import PermanentError
from nearline.say import Words, say
from nearline.settings import Settings
from training.bring import parts
from training.bring.frames import EncoderFrame, RankingFrame, ranking_frame
from training.bring.parts import Parent
from training.journal import Journal
from training.tracking import Registry, Version

# Axes: I items, D dimensions.
_SEED = 20_261_121


@dataclass(frozen=True, slots=True)
class Brought:
    """A registered challenger, and how its part did on the questions of the one it replaces.

    `lead` is its mean NDCG@10 less the champion's with a 95 % interval, paired by question.
    """

    version: str
    part: str  # ranker or encoder
    parent: str
    ndcg: float
    champion_ndcg: float
    lead: tuple[float, float, float]
    p99_ms: float
    size_mb: float
    notes: tuple[Words, ...] = field(default=())

    def __str__(self) -> str:
        mean, low, high = self.lead
        part = say(self.part, {"ranker": "排序模型", "encoder": "编码器"}[self.part])
        sentences = [
            say(
                f"Version {self.version} is challenger: version {self.parent} with another {part}.",
                f"版本 {self.version} 为候选：版本 {self.parent} 换用另一个{part}。",
            ),
            say(
                f"NDCG@10 {self.ndcg:.4f}, the champion's {part} {self.champion_ndcg:.4f}; "
                f"lead {mean:+.4f} (95 % {low:+.4f} to {high:+.4f}, paired).",
                f"NDCG@10 {self.ndcg:.4f}，线上模型的{part} {self.champion_ndcg:.4f}；"
                f"提升 {mean:+.4f}（配对 95 % {low:+.4f} 至 {high:+.4f}）。",
            ),
            say(
                f"Slowest hundredth of answers {self.p99_ms:.1f} ms, {self.size_mb:.1f} MB.",
                f"最慢 1 % 的回答 {self.p99_ms:.1f} 毫秒，{self.size_mb:.1f} MB。",
            ),
            *map(str, self.notes),
            say(
                f"Next: nearline models check {self.version}, or ask /v1/recommend with "
                "bundle=challenger.",
                f"下一步：nearline models check {self.version}，"
                "或向 /v1/recommend 请求 bundle=challenger。",
            ),
        ]
        return "\n".join(sentences)


class Desk:
    """Where a model from outside becomes part of a copy of the champion's bundle.

    Settings come from the environment unless given. Everything is registered through the same
    door as `nearline train`, and may be promoted by the same gate.
    """

    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self._settings = settings or settings_module.load()
        self._clock: Clock = clock or SystemClock()
        self._registry = Registry(self._settings.mlflow_uri, self._settings.mlflow_artifacts)

    def base(self) -> Version:
        """The bundle that a model is put into: the champion, or the challenger without any.

        Raises PermanentError when there is neither.
        """
        found = self._registry.at(CHAMPION) or self._registry.at(CHALLENGER)
        if found is None:
            raise PermanentError(
                "no bundle is registered yet, so there is nothing to put a model into: "
                "`nearline train --promote` makes one"
            )
        return found

    def ranking_frame(self, points: int | None = None, seed: int = _SEED) -> RankingFrame:
        """The lessons of the champion's ranker, at most `points` of them, and its test.

        Features are point in time: what the online store held at each moment.
        """
        return ranking_frame(self._registry.trial(self.base()), points, seed)

    def encoder_frame(self) -> EncoderFrame:
        """The interactions that the champion's judged encoder had learnt from, and its items.

        Raises PermanentError when the history has lost what the bundle was made from.
        """
        from training import datasets

        base = self.base()
        trial = self._registry.encoder_trial(base)
        with tempfile.TemporaryDirectory() as folder:
            items = parts.item_ids(self._registry.fetch(base.number, Path(folder)))
        data = datasets.read(self._settings.history)
        learnt = data.interactions.until(trial.learnt_until_us)
        row_of = {item_id: row for row, item_id in enumerate(items)}
        rows = np.array([row_of.get(item_id, -1) for item_id in data.items.item_ids], np.int64)
        learnt = learnt.pick(rows[learnt.item] >= 0)
        return EncoderFrame(
            items,
            learnt.customer,
            rows[learnt.item],
            learnt.kind,
            learnt.occurred_at_us,
            trial.learnt_until_us,
            trial.questions.items_WL.shape[1],
        )

    def register_ranker(
        self,
        model: Any,
        *,
        by: str,
        features: Sequence[str] | None = None,
        form: str | None = None,
    ) -> Brought:
        """Put a ranker into a copy of the champion's bundle and register it as challenger.

        `model` is an XGBoost or LightGBM model, an ONNX ModelProto, or the path of one (its
        suffix says which; `form`, where given, must agree). `features` are its inputs in
        order, all of serving's unless named. Raises Refused, and registers nothing, when a
        feature is unknown, when the file holds more than standard operators, when a score is no
        number, or when it is too slow to answer.
        """
        base = self.base()
        trial = self._registry.trial(base)
        with tempfile.TemporaryDirectory(prefix="nearline-bring-") as folder:
            parent = self._parent(base, Path(folder))
            made = parts.with_ranker(
                parent, model, features, form, trial.exam, by, self._clock.now_us(), _SEED
            )
            journal = Journal(metrics=made.manifest.metrics, trial=trial)
            journal.encoder_trial = self._encoder_trial(base)
            spec = made.manifest.ranker
            about = (
                {"format": spec.format.value, "features": str(len(spec.features))} if spec else {}
            )
            return self._register("ranker", made, base, journal, about)

    def register_encoder(
        self, model: Any, vectors_ID: npt.NDArray[np.float32], *, by: str
    ) -> Brought:
        """Put an encoder and its item vectors into a copy of the champion's bundle.

        `model` is an ONNX ModelProto, or the path of one, with the contract's inputs `items` and
        `kinds` (batch, L) int64 and output `query` (batch, D) float32. `vectors_ID` holds a row
        for each of the bundle's items (`encoder_frame().item_ids`); what fits is nearest by
        inner product. It must not have learnt from what came after `learnt_until_us`. The
        champion's ranker is left out: it has learnt another encoder's scores. Raises Refused.
        """
        base = self.base()
        trial = self._registry.encoder_trial(base)
        with tempfile.TemporaryDirectory(prefix="nearline-bring-") as folder:
            parent = self._parent(base, Path(folder))
            made = parts.with_encoder(
                parent, model, vectors_ID, trial, by, self._clock.now_us(), _SEED
            )
            journal = Journal(metrics=made.manifest.metrics, encoder_trial=trial)
            about = {"dimension": str(made.manifest.encoder.dimension)}
            return self._register("encoder", made, base, journal, about)

    def _parent(self, base: Version, folder: Path) -> Parent:
        held = self._registry.fetch(base.number, folder / "parent")
        return Parent(base.number, held, self._registry.manifest(base))

    def _encoder_trial(self, base: Version) -> Any:
        try:
            return self._registry.encoder_trial(base)
        except PermanentError:
            return None  # An older run: only its ranker can be replaced.

    def _register(
        self,
        part: str,
        made: parts.Made,
        base: Version,
        journal: Journal,
        about: dict[str, str],
    ) -> Brought:
        manifest: Manifest = made.manifest
        version = self._registry.register(
            made.folder,
            manifest,
            {"name": f"brought {part}", "part": part, "seed": str(_SEED), **about},
            journal,
            tags={"brought_part": part},
        )
        return Brought(
            version=version,
            part=part,
            parent=base.number,
            ndcg=made.ndcg,
            champion_ndcg=made.champion_ndcg,
            lead=made.lead,
            p99_ms=made.probe.p99_ms,
            size_mb=made.probe.size_mb,
            notes=made.notes,
        )
