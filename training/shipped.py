"""Files of `mlflow/` that the code needs: from the checkout, or from the installed package."""

from __future__ import annotations

from pathlib import Path


def shipped(name: str) -> Path:
    """Where a file such as `policies/promotion.yaml` lies.

    The wheel holds `mlflow/policies` and `mlflow/cards` as `training/shipped_files/`
    (pyproject.toml); a checkout has them once, where people edit them.
    """
    packed = Path(__file__).with_name("shipped_files") / name
    return packed if packed.is_file() else Path(__file__).parents[1] / "mlflow" / name
