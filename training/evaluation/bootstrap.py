"""Whether a lead is more than chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Axes: Q questions, R bootstrap rounds.
Floats = npt.NDArray[np.float64]


def paired_bootstrap(
    left_Q: Floats, right_Q: Floats, seed: int, rounds: int = 2_000
) -> tuple[float, float, float]:
    """Mean of left - right over questions, with its 95 % percentile interval."""
    difference_Q = left_Q - right_Q
    generator = np.random.default_rng(seed)
    picks_RQ = generator.integers(0, len(difference_Q), (rounds, len(difference_Q)))
    low, high = np.quantile(difference_Q[picks_RQ].mean(axis=1), [0.025, 0.975])
    return float(difference_Q.mean()), float(low), float(high)
