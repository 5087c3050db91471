"""The OpenAPI document tells the truth: schemathesis sends what it allows and what it forbids."""

from __future__ import annotations

from typing import Any

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import positive_data_acceptance

pytestmark = [pytest.mark.redis, pytest.mark.slow]
# Too many events in a batch are refused with 413, which schemathesis does not take for a no.
TOO_LARGE_IS_NO = schemathesis.Config.from_dict(
    {
        "checks": {
            check: {"expected-statuses": ["400", "401", "403", "413", "415", "422"]}
            for check in ("negative_data_rejection", "missing_required_header")
        }
    }
)
EXAMPLES = 20  # For each operation, of what is allowed and of what is not.


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_document_names(
    served: Any, valkey: redis.Redis, mode: GenerationMode
) -> None:
    # The plugin's own parametrize does not run under pytest 9.
    schema = schemathesis.openapi.from_url(f"{served.http}/openapi.json", config=TOO_LARGE_IS_NO)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.path for operation in operations} >= {"/v1/track", "/v1/batch", "/healthz"}

    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not len(operation.body):
            continue  # Nothing can be wrong with a request that says nothing.

        @seed(7)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def each(case: Any) -> None:
            # Whether an event can be taken depends on more than its shape (its time, its consent,
            # what was sent before), and its own verdict says so.
            header = case.meta.components.get(ParameterLocation.HEADER)
            spoilt = header is not None and header.mode is GenerationMode.NEGATIVE
            case.call_and_validate(
                auth=None if spoilt else (served.key, ""),
                excluded_checks=[positive_data_acceptance],
            )

        each()
