"""iALS: customers and items as short vectors, fitted to who met what."""

from __future__ import annotations

import numpy as np

from training.baselines.scorer import Scorer, Scores, history_matrix, met_matrix
from training.datasets import Interactions
from training.sequences import Questions

# Axes: Q questions, C customers, I items, D dimensions.


def ials(
    interactions: Interactions,
    items: int,
    dimension: int = 64,
    rounds: int = 15,
    strength: float = 0.05,
    confidence: float = 5.0,
    decay: float = 0.8,
    seed: int = 0,
) -> Scorer:
    """Implicit-feedback matrix factorisation (Hu, Koren and Volinsky 2008), library `implicit`.

    `confidence` is the weight of what was met against what was not, `strength` the
    regularisation. A question's customer is not looked up but solved for from the history, in
    which an item k places back weighs `decay` to the power k: newcomers are answered too.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    # Its own threads and those of BLAS would fight (it warns about that), and one thread gives
    # the same factors each time.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=dimension,
            regularization=strength,
            alpha=confidence,
            iterations=rounds,
            num_threads=1,
            random_state=seed,
        )
        model.fit(met_matrix(interactions, items), show_progress=False)
    vectors_ID = np.asarray(model.item_factors, np.float32)

    def scores(questions: Questions) -> Scores:
        history_QI = history_matrix(questions, items, decay)
        with threadpool_limits(1, "blas"):
            vectors_QD = model.recalculate_user(np.arange(len(questions)), history_QI)
        return np.asarray(vectors_QD @ vectors_ID.T, np.float32)

    return scores
