"""infra/serve.yaml against Serve's own schema, and the builder that it names."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

CONFIG = Path(__file__).parents[3] / "infra" / "serve.yaml"


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Importing Ray warns about its own code.
def test_the_serve_config_is_what_serve_accepts_and_its_builder_builds_the_graph() -> None:
    from ray.serve import Application
    from ray.serve.schema import ServeDeploySchema

    schema = ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.read_text()))

    [application] = schema.applications
    module, builder = application.import_path.split(":")
    assert isinstance(getattr(importlib.import_module(module), builder)({}), Application)
    [add_to_server] = schema.grpc_options.grpc_servicer_functions
    module, _, name = add_to_server.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))
