"""Whether a lead is more than chance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Axes: Q questions, R bootstrap rounds.
Floats = npt.NDArray[np.float64]


def paired_bootstrap(
    left_Q: Floats, right_Q: Floats, seed: int, rounds: int = 2_000
) -> tuple[float, float, float]:
    """Mean of left - right over questions, with its 95 % percentile interval; NaN without any."""
    difference_Q = left_Q - right_Q
    asked = len(difference_Q)
    if not asked:
        return float("nan"), float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    # Round by round: all at once would take 32 kB for each question.
    means_R = [difference_Q[generator.integers(0, asked, asked)].mean() for _ in range(rounds)]
    low, high = np.quantile(means_R, [0.025, 0.975])
    return float(difference_Q.mean()), float(low), float(high)
