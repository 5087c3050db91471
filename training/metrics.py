"""Every number that training reports; each is defined once, in `training.evaluation`."""

from training.evaluation.bootstrap import paired_bootstrap
from training.evaluation.chances import at_alert_rate, brier, expected_calibration_error
from training.evaluation.ranking import (
    hit_at_k,
    ndcg_at_k,
    precision_at_k,
    ranks_of_targets,
    recall_at_k,
    single_ndcg,
    single_target,
)

__all__ = [
    "at_alert_rate",
    "brier",
    "expected_calibration_error",
    "hit_at_k",
    "ndcg_at_k",
    "paired_bootstrap",
    "precision_at_k",
    "ranks_of_targets",
    "recall_at_k",
    "single_ndcg",
    "single_target",
]
