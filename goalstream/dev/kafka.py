"""A Kafka inside this process: librdkafka's mock cluster, out of the confluent-kafka wheel, through ctypes.

It speaks produce, fetch, groups, commits and headers on 127.0.0.1. It creates no topics on request, keeps nothing on disk,
and silently drops the oldest of a partition beyond 5 MiB or 100,000 batches: good for a first look and for tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from goalstream.errors import OperatorError

WAYS_OUT = (
    "either `pip install 'goalstream[dev]'` on a platform that confluent-kafka has wheels for (Linux with glibc, macOS), "
    "or point GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS at your own Kafka and start `goalstream worker` and `goalstream api`"
)

KNOCK_SECONDS = 0.002

_PRODUCER = 0
_TOPIC_ALREADY_EXISTS = 36
_LOG_LEVEL_CRITICAL = b"2"
"""The handle that carries the cluster has no broker of its own to talk to, and would say so."""

_SIGNATURES: Mapping[str, tuple[type | None, list[type]]] = {
    "rd_kafka_conf_new": (ctypes.c_void_p, []),
    "rd_kafka_conf_set": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_new": (ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_err2str": (ctypes.c_char_p, [ctypes.c_int]),
    "rd_kafka_mock_cluster_new": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [ctypes.c_void_p]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [ctypes.c_void_p]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [ctypes.c_void_p, ctypes.c_int32]),
}


class EmbeddedKafka:
    """One broker on a free port of 127.0.0.1, from `with` to the end of the block or of the process."""

    def __init__(self, topics: Mapping[str, int], *, rebalance_delay_ms: int = 0) -> None:
        """`topics` are names with their numbers of partitions.

        `rebalance_delay_ms` is how long a new group waits for further members before its first assignment.
        """
        self._topics = dict(topics)
        self._rebalance_delay_ms = rebalance_delay_ms
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._cluster: int | None = None
        self._bootstrap_servers = ""

    @property
    def bootstrap_servers(self) -> str:
        """`127.0.0.1:port`; empty before the start."""
        return self._bootstrap_servers

    def start(self) -> None:
        """Takes about 20 ms. Raises OperatorError when the `dev` extra is not installed."""
        library = self._library = _load()
        error = ctypes.create_string_buffer(512)
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(configuration, b"log_level", _LOG_LEVEL_CRITICAL, error, len(error))
        with _signals_blocked():
            self._handle = library.rd_kafka_new(_PRODUCER, configuration, error, len(error))
            if not self._handle:
                raise OperatorError(f"the embedded Kafka does not start: {error.value.decode()}")
            self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            self.close()
            raise OperatorError("the embedded Kafka does not start: no port of 127.0.0.1 could be opened")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, self._rebalance_delay_ms)
        self._bootstrap_servers = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        with self._kept_awake():
            for name, partitions in self._topics.items():
                self.create_topic(name, partitions)

    def create_topic(self, name: str, partitions: int) -> None:
        """Creates a topic; one that exists stays as it is. Raises ValueError for a name or number that Kafka refuses."""
        if self._library is None or not self._cluster:
            raise ValueError("the embedded Kafka is not running")
        if partitions < 1:
            raise ValueError(f"topic {name!r} with {partitions} partitions: at least one is needed")
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code not in (0, _TOPIC_ALREADY_EXISTS):
            reason = self._library.rd_kafka_err2str(code).decode()
            raise ValueError(f"topic {name!r} with {partitions} partitions: {reason}")

    @contextlib.contextmanager
    def _kept_awake(self) -> Iterator[None]:
        """Knocks at the broker's port all the while.

        Its thread overlooks one request in ten and sleeps for a second (librdkafka 2.16); a connection wakes it up.
        """
        host, _, port = self._bootstrap_servers.partition(":")
        is_over = threading.Event()

        def knock() -> None:
            while not is_over.wait(KNOCK_SECONDS):
                with contextlib.suppress(OSError):
                    socket.create_connection((host, int(port)), timeout=1).close()

        knocking = threading.Thread(target=knock, daemon=True)
        knocking.start()
        try:
            yield
        finally:
            is_over.set()
            knocking.join()

    def close(self) -> None:
        """Ends the broker and all that it held; more than once is harmless."""
        if self._library is None:
            return
        cluster, self._cluster = self._cluster, None
        handle, self._handle = self._handle, None
        if cluster:
            self._library.rd_kafka_mock_cluster_destroy(cluster)
        if handle:
            self._library.rd_kafka_destroy(handle)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Threads that are begun meanwhile never see a signal: the broker's ends for ever at the first (librdkafka 2.16)."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load() -> ctypes.CDLL:
    """The wheel's own librdkafka, with the signatures of what is used here."""
    path = _find()
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise OperatorError(f"the embedded Kafka cannot be loaded from {path} ({error}): {WAYS_OUT}") from None
    return library


def _find() -> Path:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise OperatorError(f"the embedded Kafka is not installed (no confluent_kafka in {sys.prefix}): {WAYS_OUT}")
    package = Path(spec.origin).parent
    # Where the tools that repair wheels put a library: auditwheel beside the package, delocate inside it.
    folders = (package.with_name(f"{package.name}.libs"), package / ".dylibs")
    for folder in folders:
        for path in sorted(folder.glob("librdkafka*")):
            if "++" not in path.name:
                return path
    looked_in = " or ".join(map(str, folders))
    raise OperatorError(f"the embedded Kafka is not installed (no librdkafka in {looked_in}): {WAYS_OUT}")
