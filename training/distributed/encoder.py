"""The encoder taught by several workers at once: `encoder.fit` in each, gradients averaged.

Every worker holds the whole model, a share of the windows and its part of each batch. Before
each step the gradients are averaged over the workers. (That is what DistributedDataParallel
does, but it wants all work inside `forward`, and the loss reads the item table beside it.) So
all models stay equal, and an epoch is one pass over all windows in batches of the same size.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from training import encoder
from training.config import EncoderConfig
from training.datasets import Interactions
from training.encoder import Report
from training.encoder_content import ItemContent
from training.encoder_model import Encoder
from training.sequences import Questions, Windows
from training.team import Figures

_LEARNING, _DONE = "learning.pt", "done.pt"


def fit(
    interactions: Interactions,
    items: int,
    validation: Questions,
    config: EncoderConfig,
    *,
    start: npt.NDArray[np.float32],
    seed: int,
    checkpoint: Path,
    report: Report,
    content: ItemContent | None = None,
    network: Mapping[str, torch.Tensor] | None = None,
    workers: int = 2,
) -> Encoder:
    """As `encoder.fit`, on `workers` of the cluster that this process is connected to.

    Ray Train keeps its checkpoints in `ray/` beside `checkpoint`, on storage that the cluster
    shares, and none of other runs; after a lost worker, or a stop, it goes on from the last epoch.
    `report` gets the figures of all epochs at the end. While it runs, torch's own meeting place of
    the workers (TCPStore) listens on every interface, at a port of chance: torch has no option
    for that, so a firewall must keep strangers out.
    """
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
    storage, name = checkpoint.parent.absolute() / "ray", f"{checkpoint.stem}-{workers}"
    for folder in storage.glob("*/"):  # Of other data: nobody will go on from there.
        if folder.name != name:
            shutil.rmtree(folder, ignore_errors=True)
    told = {
        "interactions": interactions, "items": items, "validation": validation,
        "config": config, "start": start, "seed": seed, "content": content,
        "network": dict(network) if network is not None else None,
    }  # fmt: skip
    trainer = TorchTrainer(
        _teach,
        train_loop_config={"told": ray.put(told)},
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=resources.get("GPU", 0) >= workers
        ),
        run_config=RunConfig(
            name=name,
            storage_path=str(storage),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=2),
        ),
    )
    found: Any = trainer.fit().checkpoint
    with found.as_directory() as folder:
        done = torch.load(Path(folder) / _DONE, map_location="cpu", weights_only=True)
    for figures in done["curve"]:
        report(figures)
    model = Encoder(items, config, content)
    model.load_state_dict(done["model"])
    return model.eval()


def shared(lessons: Windows, rank: int, workers: int) -> Windows:
    """One worker's windows: every `workers`-th, as many for each, some of them twice."""
    rows = np.arange(-(-len(lessons) // workers) * workers) % len(lessons)
    own = rows[rank::workers]
    return Windows(lessons.items_WL[own], lessons.kinds_WL[own], lessons.targets_WL[own])


class Workers:
    """This worker's place among those of a Ray Train run."""

    def __init__(self, rank: int, count: int, curve: list[Figures]) -> None:
        self.rank, self.count, self.curve = rank, count, curve

    def share(self, lessons: Windows) -> Windows:
        return shared(lessons, self.rank, self.count)

    def batch_size(self, size: int) -> int:
        return max(1, size // self.count)

    def draw(self, seed: int) -> int:
        return seed * self.count + self.rank

    def attend(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        import torch.distributed as dist

        def average(*_: object) -> None:
            for parameter in model.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.count

        optimizer.register_step_pre_hook(average)

    def agree(self, figures: Figures) -> Figures:
        """Those of the first: each has judged an equal model, rounding aside."""
        import torch.distributed as dist

        agreed: list[Any] = [figures]
        dist.broadcast_object_list(agreed, 0)
        return dict(agreed[0])

    def kept(self, checkpoint: Path) -> None:
        self.report({_LEARNING: checkpoint})

    def report(self, files: Mapping[str, Path]) -> None:
        """Hand the first worker's files to Ray Train; waits for all workers."""
        import ray.train

        figures = self.curve[-1] if self.curve else {}
        if self.rank != 0:
            ray.train.report(figures)
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(self.curve, Path(folder) / "curve.pt")
            for name, path in files.items():
                shutil.copy(path, Path(folder) / name)
            made = ray.train.Checkpoint.from_directory(folder)
            ray.train.report(figures, checkpoint=made)


def _teach(given: dict[str, Any]) -> None:
    """What each worker runs."""
    import ray
    import ray.train

    context = ray.train.get_context()
    told: dict[str, Any] = ray.get(given["told"])
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / _LEARNING
        team = Workers(context.get_world_rank(), context.get_world_size(), [])
        before = ray.train.get_checkpoint()
        if before is not None:
            with before.as_directory() as held:
                shutil.copy(Path(held) / _LEARNING, checkpoint)
                team.curve += torch.load(Path(held) / "curve.pt", weights_only=True)
        model = encoder.fit(
            told["interactions"],
            told["items"],
            told["validation"],
            told["config"],
            start=told["start"],
            seed=told["seed"],
            checkpoint=checkpoint,
            report=team.curve.append,
            content=told["content"],
            network=told["network"],
            team=team,
        )
        done = Path(folder) / _DONE
        torch.save({"model": model.cpu().state_dict(), "curve": team.curve}, done)
        team.report({_LEARNING: checkpoint, _DONE: done})
