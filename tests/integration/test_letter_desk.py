"""Dead letters for operators on a broker: what is listed, shown, redriven and dropped, and within which bounds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import pytest

from goalstream.domain.letters import LetterChoice, LetterPage
from goalstream.domain.times import from_milliseconds
from goalstream.errors import BrokerUnavailable, LetterNotFound
from goalstream.streams import letter_desk
from goalstream.streams.connection import Kafka
from goalstream.streams.letter_desk import LetterDesk
from goalstream.streams.redrive import Redriver
from tests.integration.test_redrive import OLD_MS, Stage
from tests.services.tiers import RunningKafka

ALL = LetterChoice(since=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
async def stage(kafka: RunningKafka, topic_prefix: str) -> Stage:
    return Stage(kafka.bootstrap_servers, topic_prefix)


@pytest.fixture
async def desk(stage: Stage) -> LetterDesk:
    return LetterDesk(stage.kafka, topic_prefix=stage.prefix)


async def listed(desk: LetterDesk, choice: LetterChoice = ALL, **options: Any) -> LetterPage:
    return await desk.page(choice, **({"include_done": False, "limit": 50, "before": None} | options))


def offsets(page: LetterPage) -> list[int]:
    return [letter["offset"] for letter in page.letters]


async def one_after_the_other(stage: Stage, *offsets: int, **changes: Any) -> None:
    """Sets records aside so that each has a millisecond of its own."""
    for offset in offsets:
        await stage.set_aside(stage.record(offset, **changes))
        await asyncio.sleep(0.002)


async def test_pages_go_from_the_newest_to_the_oldest_whatever_comes_meanwhile(stage: Stage, desk: LetterDesk) -> None:
    await one_after_the_other(stage, 1, 2, 3, 4, 5)
    first = await listed(desk, limit=2)
    await one_after_the_other(stage, 6)
    second = await listed(desk, limit=2, before=first.last)
    third = await listed(desk, limit=2, before=second.last)
    assert [offsets(page) for page in (first, second, third)] == [[5, 4], [3, 2], [1]]
    assert third.last is None
    assert (second.by_reason, second.unread) == ({"not_json": 6}, 0)


async def test_filters_take_what_they_say_and_reasons_are_counted_beside_the_one_asked_for(
    stage: Stage, desk: LetterDesk
) -> None:
    await one_after_the_other(stage, 1)
    await one_after_the_other(stage, 2, topic=f"{stage.prefix}payment.completed")
    newest, oldest = (await listed(desk)).letters
    assert oldest["at"] < newest["at"]
    for choice, found in (
        (LetterChoice(topic="payment.completed"), [2]),
        (LetterChoice(topic=f"{stage.prefix}payment.completed"), [2]),
        (LetterChoice(since=newest["at"]), [2]),
        (LetterChoice(until=newest["at"]), [1]),
        (LetterChoice(since=newest["at"], until=newest["at"]), []),
        (LetterChoice(), [2, 1]),
    ):
        assert offsets(await listed(desk, choice)) == found
    other = await listed(desk, LetterChoice(reason="bad_time"))
    assert (other.letters, other.by_reason) == ([], {"not_json": 2})


async def test_a_list_shows_nothing_of_what_the_records_hold_and_one_letter_all_of_it(
    stage: Stage, desk: LetterDesk
) -> None:
    headers: list[tuple[str, bytes | None]] = [("goalstream_topic", b"forged"), ("n", b"\xff"), ("h", None)]
    record = stage.record(7, partition=3, value=b'{"name": "Ada"}', key=b"\xfe", headers=headers)
    await stage.set_aside(record, reason="refused_by_database", error="a null value\nDETAIL: (Ada)")
    (letter,) = (await listed(desk)).letters
    at = letter["at"]
    assert letter == {
        "id": letter["id"],
        "topic": f"{stage.prefix}form.submitted",
        "partition": 3,
        "offset": 7,
        "reason": "refused_by_database",
        "error": "a null value",
        "attempts": 1,
        "at": at,
        "done": None,
    }
    assert await desk.show(letter["id"]) == {
        **letter,
        "error": "a null value\nDETAIL: (Ada)",
        "done_at": None,
        "timestamp": from_milliseconds(OLD_MS + 7),
        "key": {"base64": "/g=="},
        "value": '{"name": "Ada"}',
        "headers": [
            {"name": "goalstream_topic", "value": "forged"},
            {"name": "n", "value": {"base64": "/w=="}},
            {"name": "h", "value": None},
        ],
    }


async def test_what_was_redriven_or_dropped_is_shown_when_asked_for_and_not_done_again(
    stage: Stage, desk: LetterDesk
) -> None:
    await one_after_the_other(stage, 1, 2, 3)
    third, second, first = [letter["id"] for letter in (await listed(desk)).letters]
    redriven = await desk.redrive(LetterChoice(ids=[first, third]), dry_run=False)
    assert (redriven.ids, redriven.refused, redriven.remaining) == ([first, third], {}, 0)
    dropped = await desk.drop(LetterChoice(ids=[second]), dry_run=False)
    assert (dropped.ids, dropped.remaining) == ([second], 0)
    assert (await listed(desk)).letters == []
    done = await listed(desk, include_done=True)
    assert [letter["done"] for letter in done.letters] == ["redriven", "dropped", "redriven"]
    shown = await desk.show(first)
    assert shown["done_at"] - shown["at"] < timedelta(minutes=1)
    assert (await desk.redrive(LetterChoice(ids=[first, second]), dry_run=False)).ids == []
    assert (await desk.redrive(ALL, dry_run=False)).ids == []
    assert len(await stage.sent()) == 2


async def test_a_dry_run_tells_what_would_be_done_and_does_nothing(stage: Stage, desk: LetterDesk) -> None:
    await stage.set_aside(stage.record(1), stage.record(2, topic="billing.orders"))
    would = await desk.redrive(ALL, dry_run=True)
    ((place, why),) = would.refused.items()
    assert len(would.ids) == 1
    assert why == "billing.orders is not a topic that goalstream reads"
    assert set((await desk.drop(ALL, dry_run=True)).ids) == {*would.ids, place}
    assert await stage.sent() == []
    assert len((await listed(desk)).letters) == 2


async def test_too_many_at_once_are_done_in_several_requests_the_oldest_first(
    stage: Stage, desk: LetterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_desk, "MOST_DONE", 2)
    await one_after_the_other(stage, 1, 2, 3)
    oldest_first = [letter["id"] for letter in (await listed(desk)).letters][::-1]
    assert (await desk.redrive(ALL, dry_run=False)).remaining == 1
    rest = await desk.redrive(ALL, dry_run=False)
    assert (rest.ids, rest.remaining) == (oldest_first[2:], 0)
    assert len(await stage.sent()) == 3


async def test_large_records_go_one_by_one(stage: Stage, desk: LetterDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_desk, "MOST_BYTES_DONE", 1)
    await one_after_the_other(stage, 1, 2)
    for remaining in (1, 0):
        done = await desk.redrive(ALL, dry_run=False)
        assert (len(done.ids), done.remaining) == (1, remaining)


async def test_only_the_newest_records_are_looked_at(
    stage: Stage, desk: LetterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_after_the_other(stage, 1, 2, 3, key=b"of one partition")
    oldest = (await listed(desk)).letters[-1]["id"]
    monkeypatch.setattr(letter_desk, "MOST_RECORDS", 2)
    page = await listed(desk)
    assert (offsets(page), page.unread) == ([3, 2], 1)
    for ask in (desk.show(oldest), desk.redrive(LetterChoice(ids=[oldest]), dry_run=False)):
        with pytest.raises(LetterNotFound, match=oldest):
            await ask


async def test_an_id_that_is_not_there_is_told_before_anything_is_done(stage: Stage, desk: LetterDesk) -> None:
    await stage.set_aside(stage.record(1))
    (letter,) = (await listed(desk)).letters
    for unknown in ("0:999", "nonsense"):
        for ask in (
            desk.show(unknown),
            desk.redrive(LetterChoice(ids=[letter["id"], unknown]), dry_run=False),
            desk.drop(LetterChoice(ids=[letter["id"], unknown]), dry_run=False),
        ):
            with pytest.raises(LetterNotFound, match=unknown):
                await ask
    assert await stage.sent() == []
    assert len((await listed(desk)).letters) == 1


class CountedRedriver(Redriver):
    """Knows how many are at work together."""

    at_work = most = 0

    async def __aenter__(self) -> Self:
        CountedRedriver.at_work += 1
        CountedRedriver.most = max(self.at_work, self.most)
        return await super().__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await super().__aexit__(*error)
        CountedRedriver.at_work -= 1


async def test_two_operators_at_once_send_each_record_once(
    stage: Stage, desk: LetterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_desk, "Redriver", CountedRedriver)
    await stage.set_aside(*(stage.record(offset, key=b"k") for offset in range(20)))
    both = await asyncio.gather(desk.redrive(ALL, dry_run=False), desk.redrive(ALL, dry_run=False))
    assert CountedRedriver.most == 1
    assert sorted(len(one.ids) for one in both) == [0, 20]
    assert len(await stage.sent()) == 20


async def test_a_kafka_that_is_away_or_has_no_such_topic_is_unavailable(
    stage: Stage, desk: LetterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        await listed(LetterDesk(Kafka(bootstrap_servers="127.0.0.1:1"), topic_prefix=stage.prefix))
    with pytest.raises(BrokerUnavailable, match="run `goalstream topics`"):
        await listed(LetterDesk(stage.kafka, topic_prefix="nowhere."))
    monkeypatch.setattr(letter_desk, "READ_SECONDS", 0)
    with pytest.raises(BrokerUnavailable, match="took longer than 0 s"):
        await listed(desk)
