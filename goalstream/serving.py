"""The API put together with what it asks of Kafka: where events go, and what operators handle of dead letters."""

from __future__ import annotations

from collections.abc import Callable

from goalstream.api.server import serve
from goalstream.config import Settings
from goalstream.contracts import examples
from goalstream.intake import intake_of
from goalstream.observability.metrics import is_none_of_api
from goalstream.streams.connection import Kafka
from goalstream.streams.letter_desk import LetterDesk


async def serve_api(
    settings: Settings, *, on_listening: Callable[[int], None], hidden: Callable[[str], bool] = is_none_of_api
) -> None:
    """Serves until cancelled, as `goalstream.api.server.serve` says."""
    intake = intake_of(settings)
    letters = LetterDesk(Kafka.of(settings), topic_prefix=settings.kafka_topic_prefix)
    try:
        await serve(
            settings, intake=intake, letters=letters, examples=examples, on_listening=on_listening, hidden=hidden
        )
    finally:
        await intake.close()
