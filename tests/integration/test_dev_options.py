"""What `goalstream dev` looks at before it starts anything."""

from __future__ import annotations

import socket

import pytest

from goalstream.dev.options import require_free
from goalstream.errors import OperatorError


def test_a_taken_port_is_told_in_one_line() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"cannot listen on 127\.0\.0\.1:{port} .*--port 0") as told:
            require_free("127.0.0.1", port)
    assert "\n" not in str(told.value)
    require_free("127.0.0.1", 0)
