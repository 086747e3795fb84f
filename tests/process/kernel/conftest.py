"""Each test with `python` runs on every Python that is installed."""

from __future__ import annotations

import pytest

from tests.process.kernel.pythons import VERSIONS, interpreter


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    return interpreter(request.param)
