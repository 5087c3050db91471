"""Read a model from outside with its own library and write it in the form that bundles hold.

Readers of model files are native code, and a file made to crash one should not take a notebook
along: `canonical` runs this module as a process of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from nearline import aside
from nearline.contracts.bundle import RankerFormat
from training.bring.refusal import Refused

MOST_BYTES = 500_000_000
_SUFFIXES = {
    ".ubj": RankerFormat.XGBOOST,
    ".json": RankerFormat.XGBOOST,
    ".txt": RankerFormat.LIGHTGBM,
    ".onnx": RankerFormat.ONNX,
}
_LIMIT_S = 120.0


def form_of(path: Path, form: str | None) -> RankerFormat:
    """The form of a file by its suffix, which `form` must not contradict; raises Refused."""
    by_suffix = _SUFFIXES.get(path.suffix.lower())
    if by_suffix is None:
        raise Refused(
            f"a file that ends in {path.suffix or 'nothing'!r} is none that a bundle may hold: "
            f"{', '.join(_SUFFIXES)}. Pickles and Python can run code and are never read"
        )
    if form is not None and form != by_suffix:
        raise Refused(f"it ends in {path.suffix}, which is {by_suffix.value} and not {form}")
    return by_suffix


def dump(model: Any, folder: Path) -> Path:
    """Write a model in memory as a file of its library; refuses what no bundle can hold."""
    model = getattr(model, "booster_", model)  # LightGBM's scikit-learn classes
    if callable(getattr(model, "get_booster", None)):  # and XGBoost's
        model = model.get_booster()
    kind = f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"
    if kind == "xgboost.Booster":
        model.save_model(folder / "model.ubj")
        return folder / "model.ubj"
    if kind == "lightgbm.Booster":
        model.save_model(folder / "model.txt")
        return folder / "model.txt"
    if type(model).__name__ == "ModelProto":
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        return folder / "model.onnx"
    raise Refused(
        f"a {kind} cannot be kept in a bundle. Give an XGBoost or LightGBM booster, an ONNX model "
        "(skl2onnx.to_onnx for scikit-learn, torch.onnx.export for torch), or the path of one"
    )


def canonical(path: Path, form: RankerFormat, to: Path) -> tuple[int, list[str]]:
    """Write a ranker's file anew; return how many features it takes, and their names if it says.

    Raises Refused when its library cannot read it.
    """
    if path.stat().st_size > MOST_BYTES:
        raise Refused(f"it has {path.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read")
    try:
        said = aside.run("training.bring.reading", [form.value, str(path), str(to)], _LIMIT_S)
    except aside.Ended as ended:
        raise Refused(ended.why) from None
    found = json.loads(said.splitlines()[-1])
    return int(found["features"]), list(found["names"])


def _read(form: RankerFormat, path: Path, to: Path) -> tuple[int, list[str]]:
    if form is RankerFormat.XGBOOST:
        import xgboost

        booster = xgboost.Booster(model_file=str(path))
        booster.save_model(str(to))
        return booster.num_features(), list(booster.feature_names or [])
    if form is RankerFormat.LIGHTGBM:
        import lightgbm

        trees = lightgbm.Booster(model_file=str(path))
        trees.save_model(str(to))
        names = trees.feature_name()
        made_up = [f"Column_{place}" for place in range(len(names))]
        return trees.num_feature(), [] if names == made_up else names
    import onnx

    from training.bring import graphs

    model = onnx.load(str(path), load_external_data=False)
    graphs.inspect(model)
    to.write_bytes(model.SerializeToString())
    shape = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else []
    return (int(shape[1].dim_value) if len(shape) == 2 else 0), []


def _main(words: list[str]) -> int:
    try:
        features, names = _read(RankerFormat(words[0]), Path(words[1]), Path(words[2]))
    except Refused as error:
        sys.stderr.write(f"{error.why}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - whatever a broken file raises
        # The reason comes first; a library may let its stack follow.
        why = next(iter(str(error).strip().splitlines()), "")[:250]
        sys.stderr.write(f"it is no {words[0]}: {type(error).__name__}: {why}\n")
        return 1
    sys.stdout.write(f"\n{json.dumps({'features': features, 'names': names})}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
