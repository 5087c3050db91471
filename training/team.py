"""Who teaches an encoder: one process alone, or several that share the work and stay equal."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from training.sequences import Windows

Figures = dict[str, float]


class Team(Protocol):
    """What `encoder.fit` asks of those that it runs among."""

    def share(self, lessons: Windows) -> Windows:
        """This process's windows; as many for each."""

    def batch_size(self, size: int) -> int:
        """This process's part of a batch."""

    def draw(self, seed: int) -> int:
        """A seed of this process's own for what differs between them."""

    def attend(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """See to it that each step of the optimizer is everybody's."""

    def agree(self, figures: Figures) -> Figures:
        """The same figures for all, so that all stop at the same epoch."""

    def kept(self, checkpoint: Path) -> None:
        """Called when an epoch's checkpoint is on the disk."""


class Alone:
    """One process does everything."""

    def share(self, lessons: Windows) -> Windows:
        return lessons

    def batch_size(self, size: int) -> int:
        return size

    def draw(self, seed: int) -> int:
        return seed

    def attend(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None: ...

    def agree(self, figures: Figures) -> Figures:
        return figures

    def kept(self, checkpoint: Path) -> None: ...


ALONE = Alone()
