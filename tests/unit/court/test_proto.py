"""The generated gRPC code is what `make proto` makes of proto/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_generated_code_is_up_to_date_with_the_protos(tmp_path: Path) -> None:
    out = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "pyi")]
    protos = sorted(str(path) for path in (ROOT / "proto").rglob("*.proto"))
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", *out, *protos],
        check=True,
    )

    committed = list((ROOT / "nearline" / "v1").glob("*_pb2*.py*"))
    assert len(committed) == 8
    for path in committed:
        assert path.read_text() == (tmp_path / "nearline" / "v1" / path.name).read_text(), path.name
