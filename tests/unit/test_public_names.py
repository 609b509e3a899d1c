"""The public names of the package: there when they are asked for, and costing nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import goalstream
from goalstream import detection
from goalstream.domain import goals
from goalstream.errors import GoalstreamError


def test_every_public_name_is_there() -> None:
    for name in goalstream.__all__:
        assert getattr(goalstream, name) is not None
    assert set(goalstream.__all__) <= set(dir(goalstream))
    assert goalstream.GoalDetectionService is detection.GoalDetectionService
    assert goalstream.GoalConfig is goals.GoalVersion
    assert goalstream.GoalCriteria == goals.Criteria
    assert issubclass(goalstream.NotEligible, GoalstreamError)


def test_any_other_name_is_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'GoalManager'"):
        getattr(goalstream, "GoalManager")  # noqa: B009 - a type checker knows that it is not there


def test_importing_the_package_imports_nothing_else() -> None:
    code = (
        "import sys, goalstream; print([name for name in sys.modules if name.startswith(('goalstream.', 'asyncpg'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
