"""Every number that training reports; each is defined once, in `training.evaluation`."""

from training.evaluation.bootstrap import paired_bootstrap
from training.evaluation.chances import at_alert_rate, expected_calibration_error
from training.evaluation.ranking import (
    ndcg_at_k,
    ranks_of_targets,
    recall_at_k,
    single_ndcg,
    single_target,
)

__all__ = [
    "at_alert_rate",
    "expected_calibration_error",
    "ndcg_at_k",
    "paired_bootstrap",
    "ranks_of_targets",
    "recall_at_k",
    "single_ndcg",
    "single_target",
]
