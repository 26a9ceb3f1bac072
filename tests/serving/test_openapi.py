"""The service keeps to its own OpenAPI description, whatever it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.serving.conftest import Client

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra [dev]")


@pytest.mark.parametrize("path", ["/embed", "/healthz", "/metrics"])
def test_every_answer_is_as_described(client: Client, path: str) -> None:
    address = f"http://127.0.0.1:{client.port}/openapi.json"
    description = schemathesis.openapi.from_url(address)
    operation = description[path]["POST" if path == "/embed" else "GET"]
    seen = []

    @settings(
        max_examples=40,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        seen.append(case.call_and_validate().status_code)

    ask()
    assert 200 in seen
