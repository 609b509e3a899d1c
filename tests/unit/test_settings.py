"""Settings that would only fail much later are refused at the start."""

from __future__ import annotations

import pytest

from goalstream.config import load_settings
from goalstream.errors import SettingsError

NAME = "GOALSTREAM_KAFKA_GROUP_INSTANCE_ID"


@pytest.mark.parametrize("name", ["", "worker-3.eu_west"])
def test_a_name_in_the_group_is_what_kafka_takes_for_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(NAME, name)
    assert load_settings().kafka_group_instance_id == name


@pytest.mark.parametrize("name", ["worker 3", "wörker", "w" * 250])
def test_a_name_in_the_group_that_kafka_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(NAME, name)
    with pytest.raises(SettingsError, match=NAME):
        load_settings()
