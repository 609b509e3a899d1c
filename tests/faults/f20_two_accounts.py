"""F20: two accounts that have the same ids everywhere: honest requests, requests for what is the other's, forged tokens and keys,
and PostgreSQL asked without the API in between.

Everything that an account owns carries its mark, so that a glance at an answer tells whose it is.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import asyncpg
import httpx

from goalstream.api.server import serve
from goalstream.config import Settings
from goalstream.detection import GoalDetectionService, Storage
from goalstream.domain.hooks import hook_source
from goalstream.intake import Intake
from goalstream.storage.pool import Database
from tests.conftest import ENCRYPTION_KEYS
from tests.faults.forged_tokens import FORGERS, TRUSTED, claims_of, signed
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, Stage, stage
from tests.faults.twin_accounts import TABLES, Twin, everything, hook_secret, twins
from tests.integration.builders import LATENESS, new_id
from tests.senders import now, sign_stripe
from tests.services.key_server import running_key_server
from tests.signers import ALGORITHMS, jwks
from tests.unit.streams.fakes import FakeProducer

REQUESTS = {Size.CI: 200, Size.FULL: 5_000}
SECRET = "a secret that only the API knows, and no forger, long enough for every algorithm"
START_SECONDS = 30
AT_ONCE = 4


class Asker:
    """Asks one thing after the other, of its own choice."""

    def __init__(self, api: httpx.AsyncClient, database: Database, pair: tuple[Twin, Twin], chance: Random) -> None:
        self._api = api
        self._database = database
        """Connections that name no account: what the API has."""

        self._pair = pair
        self._chance = chance
        self._now = int(time.time())
        self.findings = Findings()
        self.asked: Counter[str] = Counter()

    async def ask(self) -> None:
        """One request of any kind."""
        kind = self._chance.choice(
            [
                self._own,
                self._the_others,
                self._the_others,
                self._forged,
                self._forged,
                self._forged_key,
                self._forged_call,
                self._past_the_api,
                self._in_process,
                self._what_is_of_all,
            ]
        )
        self.asked[kind.__name__.strip("_")] += 1
        mine, other = self._chance.sample(self._pair, 2)
        await kind(mine, other)

    async def _own(self, mine: Twin, other: Twin) -> None:
        """Ids that both have: with words that name the other account, and only ever one's own is there."""
        workflow = f"/api/v1/workflows/{mine.shared_workflow}/goals"
        path = self._chance.choice(
            [
                workflow,
                f"{workflow}/{mine.shared_goal}",
                f"{workflow}/{mine.shared_goal}/versions",
                f"{workflow}/stats",
                f"{workflow}/audit",
                "/api/v1/me",
                "/api/v1/workflows",
                f"/api/v1/workflows/{mine.shared_workflow}/achievements",
                f"/api/v1/contacts/{mine.contact_id}/achievements",
                f"/api/v1/contacts/{mine.contact_id}/goals/{mine.shared_goal}/explanation",
                f"/api/v1/contacts/{mine.contact_id}/timeline",
                "/api/v1/hooks",
                f"/api/v1/hooks/{mine.shared_workflow}",
                f"/api/v1/hooks/{mine.shared_workflow}/calls",
                "/api/v1/webhooks",
                f"/api/v1/webhooks/{mine.shared_workflow}",
                f"/api/v1/webhooks/{mine.shared_workflow}/deliveries",
                f"/api/v1/webhooks/{mine.shared_workflow}/deliveries/{mine.shared_goal}",
            ]
        )
        answer = await self._get(
            path,
            mine,
            params=self._chance.choice([{}, {"account_id": other.account_id}, {"account": other.account_id}]),
            headers=self._chance.choice([{}, {"x-account-id": other.account_id}, {"accountid": other.account_id}]),
        )
        self._expect(answer, {200}, mine, other)
        if path.endswith("stats") and answer.json()["total_enrolled"] != mine.enrolled:
            self.findings.wrong.append(f"{mine.mark} is told of {answer.json()['total_enrolled']} enrollments")

    async def _the_others(self, mine: Twin, other: Twin) -> None:
        """Ids that only the other has are like ids that nobody has; nothing can be done to them either."""
        workflow, goal = self._chance.choice(
            [
                (other.own_workflow, other.own_goal),
                (mine.shared_workflow, other.own_goal),
                (other.own_workflow, new_id()),
            ]
        )
        path = f"/api/v1/workflows/{workflow}/goals/{goal}"
        webhook = f"/api/v1/webhooks/{other.own_workflow}"
        method, path, body = self._chance.choice(
            [
                ("GET", path, None),
                ("PATCH", path, {"is_active": False}),
                ("PATCH", path, {"criteria": {"tag_name": "x"}}),
                ("DELETE", path, None),
                ("GET", webhook, None),
                ("PATCH", webhook, {"paused": True}),
                ("DELETE", webhook, None),
                ("POST", f"{webhook}/secret", {}),
                ("POST", f"{webhook}/test", None),
                ("POST", f"{webhook}/redrive", None),
                ("GET", f"{webhook}/deliveries/{other.own_goal}", None),
                ("POST", f"{webhook}/deliveries/{other.own_goal}/redrive", None),
                ("POST", f"/api/v1/webhooks/{mine.shared_workflow}/deliveries/{other.own_goal}/redrive", None),
            ]
        )
        headers = {"authorization": self._proof(mine), "if-match": "*"}
        answer = await self._api.request(method, path, json=body, headers=headers)
        self._expect(answer, {404}, None, other)
        listed = await self._get(f"/api/v1/workflows/{other.own_workflow}/goals", mine)
        self._expect(listed, {200}, None, other)
        if listed.json()["total"]:
            self.findings.wrong.append(f"{mine.mark} sees that there are goals of {other.mark}")
        hook = f"/api/v1/hooks/{other.own_workflow}"
        asked: tuple[str, str, dict[str, Any] | None] = self._chance.choice(
            [
                ("GET", hook, None),
                ("GET", f"{hook}/calls", None),
                ("PATCH", hook, {"paused": True}),
                ("POST", f"{hook}/secret", {"secret": "a new secret"}),
                ("POST", f"{hook}/dry-run", {"body": {}}),
                ("DELETE", hook, None),
            ]
        )
        answer = await self._api.request(asked[0], asked[1], json=asked[2], headers=headers)
        self._expect(answer, {404}, None, other)
        explained = await self._get(f"/api/v1/contacts/{other.contact_id}/goals/{goal}/explanation", mine)
        self._expect(explained, {404}, None, other)
        for path, name in (
            (f"contacts/{other.contact_id}/timeline?workflow_id={workflow}", "entries"),
            (f"workflows/{workflow}/achievements", "achievements"),
            (f"workflows/{workflow}/goals/audit", "entries"),
        ):
            answer = await self._get(f"/api/v1/{path}", mine)
            self._expect(answer, {200}, None, other)
            if workflow == other.own_workflow and answer.json()[name]:
                self.findings.wrong.append(f"{mine.mark} sees that there are {name} of {other.mark}")
        counted = await self._get(f"/api/v1/workflows/{other.own_workflow}/goals/stats", mine)
        self._expect(counted, {200}, None, other)
        if counted.json()["total_enrolled"]:
            self.findings.wrong.append(f"{mine.mark} sees that there are enrollments of {other.mark}")

    async def _forged(self, mine: Twin, other: Twin) -> None:
        """A token that is none opens nothing at all."""
        name = self._chance.choice(list(FORGERS))
        forge, status = FORGERS[name]
        header = forge(claims_of(other.account_id, self._now), SECRET, self._chance)
        await self._knock(header, status, f"a token with {name}", mine, other)

    async def _forged_key(self, mine: Twin, other: Twin) -> None:
        """An API key of which anything is not as it was given out opens nothing either."""
        _, account, key_id, secret = mine.key.text.split("_", 3)
        _, other_account, other_key_id, other_secret = other.revoked_key.text.split("_", 3)
        name, key = self._chance.choice(
            [
                ("revoked", mine.revoked_key.text),
                ("expired", mine.expired_key.text),
                ("of another account", f"gs_{other_account}_{key_id}_{secret}"),
                ("with the id of another", f"gs_{account}_{other_key_id}_{secret}"),
                ("with the secret of another", f"gs_{account}_{key_id}_{other_secret}"),
                ("cut short", mine.key.text[: -self._chance.randint(1, 40)]),
                ("written in capitals", mine.key.text.upper()),
                ("written twice", mine.key.text * 2),
                ("with one letter changed", mine.key.text[:-1] + ("A" if secret[-1] != "A" else "B")),
            ]
        )
        await self._knock(f"Bearer {key}", 401, f"an API key {name}", mine, other)

    async def _forged_call(self, mine: Twin, other: Twin) -> None:
        """A call of a hook is known by the secret of that very hook."""
        own, others = hook_secret(mine.mark), hook_secret(other.mark)
        account, hook, secret, age = self._chance.choice(
            [
                (other.account_id, other.shared_workflow, own, timedelta()),
                (mine.account_id, mine.shared_workflow, others, timedelta()),
                (other.account_id, other.own_workflow, own, timedelta()),
                (mine.account_id, other.own_workflow, others, timedelta()),
                (new_id(), mine.own_workflow, own, timedelta()),
                (mine.account_id, mine.own_workflow, own, timedelta(minutes=6)),
                (mine.account_id, mine.own_workflow, own, -timedelta(minutes=6)),
            ]
        )
        body = json.dumps({"contact_id": other.contact_id}).encode()
        headers = sign_stripe(body, secret=secret, at=now() - age)
        answer = await self._api.post(f"/hooks/{hook_source(account, hook)}", content=body, headers=headers)
        self._expect(answer, {401}, None, mine, other)

    async def _knock(self, header: str, status: int, what: str, mine: Twin, other: Twin) -> None:
        """Something is asked with what proves nothing."""
        workflow = f"/api/v1/workflows/{other.shared_workflow}"
        goal = f"{workflow}/goals/{other.shared_goal}"
        method, path, body = self._chance.choice(
            [
                ("GET", f"{workflow}/goals", None),
                ("GET", goal, None),
                ("GET", f"{workflow}/goals/stats", None),
                ("GET", f"{workflow}/goals/audit", None),
                ("GET", f"{goal}/versions", None),
                ("GET", f"{workflow}/achievements", None),
                ("GET", "/api/v1/workflows", None),
                ("GET", f"/api/v1/feed?workflow_id={other.shared_workflow}", None),
                ("GET", f"/api/v1/contacts/{other.contact_id}/achievements", None),
                ("GET", f"/api/v1/contacts/{other.contact_id}/goals/{other.shared_goal}/explanation", None),
                ("GET", f"/api/v1/contacts/{other.contact_id}/timeline", None),
                ("POST", f"{workflow}/activation-check", None),
                (
                    "POST",
                    "/api/v1/events",
                    {"event_type": "contact.tag.added", "data": {"contact_id": other.contact_id}},
                ),
                ("POST", f"{workflow}/goals", {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}),
                ("GET", f"/api/v1/hooks/{other.shared_workflow}", None),
                ("POST", f"/api/v1/hooks/{other.shared_workflow}/secret", {"secret": "a new secret"}),
                ("DELETE", f"/api/v1/hooks/{other.shared_workflow}", None),
                ("PATCH", goal, {"is_active": False}),
                ("DELETE", goal, None),
                ("GET", "/api/v1/webhooks", None),
                ("POST", "/api/v1/webhooks", {"url": "https://hooks.example.com/"}),
                ("POST", f"/api/v1/webhooks/{other.shared_workflow}/secret", {}),
                ("GET", f"/api/v1/webhooks/{other.shared_workflow}/deliveries", None),
                ("DELETE", f"/api/v1/webhooks/{other.shared_workflow}", None),
            ]
        )
        headers = {"authorization": header, "if-match": "*"}
        answer = await self._api.request(method, path, json=body, headers=headers, params={"access_token": header})
        if not self._expect(answer, {status}, None, mine, other):
            self.findings.wrong.append(f"that was {what}")

    async def _what_is_of_all(self, mine: Twin, other: Twin) -> None:
        """Dead letters are of all accounts: what is good for one opens none of them."""
        letters = "/api/v1/operator/dead-letters"
        method, path, body = self._chance.choice(
            [
                ("GET", letters, None),
                ("GET", f"{letters}/0:0", None),
                ("POST", f"{letters}/redrive", {"since": "2000-01-01T00:00:00Z"}),
                ("POST", f"{letters}/drop", {"ids": ["0:0"]}),
            ]
        )
        answer = await self._api.request(method, path, json=body, headers={"authorization": self._proof(mine)})
        self._expect(answer, {403}, None, mine, other)

    async def _past_the_api(self, mine: Twin, other: Twin) -> None:
        """Row security alone: without an account there is nothing, with one there is only its own."""
        async with self._database.connection() as connection:
            table = self._chance.choice([row["relname"] for row in await connection.fetch(TABLES)])
            seen = await connection.fetchval(f"select count(*) from {table}")
            if seen:
                self.findings.wrong.append(f"{seen} rows of {table} are there for whoever names no account")
            touched = await connection.execute(f"delete from {table}")
            if touched != "DELETE 0":
                self.findings.wrong.append(f"whoever names no account did {touched} in {table}")
        async with self._database.transaction(mine.account_id) as connection:
            owners = {str(row[0]) for row in await connection.fetch(f"select distinct account_id from {table}")}
            if owners - {mine.account_id}:
                self.findings.wrong.append(f"{mine.mark} sees rows of others in {table}")
            touched = await connection.execute(f"delete from {table} where account_id = $1", other.account_id)
            if touched != "DELETE 0":
                self.findings.wrong.append(f"{mine.mark} did {touched} in {table} to {other.mark}")
            if owners:
                await self._take_away(connection, table, other)

    async def _take_away(self, connection: Any, table: str, other: Twin) -> None:
        """Giving one's own rows to the other account is refused too."""
        try:
            async with connection.transaction():
                await connection.execute(f"update {table} set account_id = $1", other.account_id)
        except asyncpg.InsufficientPrivilegeError:
            return
        self.findings.wrong.append(f"rows of {table} could be given to {other.mark}")

    async def _in_process(self, mine: Twin, other: Twin) -> None:
        """The face in Python."""
        storage = Storage(database=self._database, allowed_lateness=LATENESS)
        tag = self._chance.choice([mine.mark, other.mark])
        found = await GoalDetectionService(storage).evaluate_event(
            account_id=mine.account_id,
            workflow_id=self._chance.choice([mine.shared_workflow, mine.own_workflow, other.own_workflow]),
            contact_id=mine.contact_id,
            event_type="contact.tag.added",
            event_data={"tag_name": tag},
        )
        if (found.goal_achieved and tag == other.mark) or other.own_goal in {
            goal.goal_config_id for goal in found.goals
        }:
            self.findings.wrong.append(f"{mine.mark} is judged by a goal of {other.mark}: {found}")

    async def _get(self, path: str, mine: Twin, **options: Any) -> httpx.Response:
        headers = {"authorization": self._proof(mine)} | options.pop("headers", {})
        return await self._api.get(path, headers=headers, **options)

    def _proof(self, mine: Twin) -> str:
        """A token of the secret, one of a public key, or an API key: all are as good."""
        claims = claims_of(mine.account_id, self._now)
        trusted = TRUSTED[self._chance.choice(ALGORITHMS)]
        return self._chance.choice(
            [signed(claims, SECRET), f"Bearer {trusted.sign(**claims)}", f"Bearer {mine.key.text}"]
        )

    def _expect(self, answer: httpx.Response, statuses: set[int], shown: Twin | None, *hidden: Twin) -> bool:
        """Whether the answer is one of these, and shows nothing of those who are hidden."""
        request = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:200]}"
        marks = [one.mark for one in hidden if one.mark in answer.text or one.account_id in answer.text]
        if marks:
            self.findings.wrong.append(f"{request} shows what is {', '.join(marks)}")
        if answer.status_code not in statuses:
            self.findings.wrong.append(f"{request}, not {sorted(statuses)}")
        return not marks and answer.status_code in statuses


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    findings, asked = Findings(), Counter[str]()
    async with stage(ground, "accounts", topics=False) as here:
        pair = await twins(here.database)
        before = await everything(here.database)
        async with _api(here) as (api, database):
            askers = [Asker(api, database, pair, Random(f"{seed} {number}")) for number in range(AT_ONCE)]

            async def ask(asker: Asker) -> None:
                for done in range(REQUESTS[size] // AT_ONCE):
                    here.show("asking", done, REQUESTS[size] // AT_ONCE)
                    await asker.ask()

            async with asyncio.TaskGroup() as asking:
                for asker in askers:
                    asking.create_task(ask(asker))
        for asker in askers:
            findings.add(asker.findings)
            asked += asker.asked
        after = await everything(here.database)
        findings.wrong += [f"rows of {table} have changed" for table, rows in before.items() if rows != after[table]]
        here.note("asked", asked=dict(asked))
    return Outcome(findings=findings, figures={"requests": asked.total(), **dict(sorted(asked.items()))})


@asynccontextmanager
async def _api(here: Stage) -> AsyncIterator[tuple[httpx.AsyncClient, Database]]:
    """The product's API on a port, and connections such as it has."""
    async with running_key_server() as key_server:
        key_server.document = jwks(*TRUSTED.values())
        async with _api_with_keys(here, key_server.url) as found:
            yield found


@asynccontextmanager
async def _api_with_keys(here: Stage, jwks_url: str) -> AsyncIterator[tuple[httpx.AsyncClient, Database]]:
    settings = Settings.model_validate(
        {
            "database_url": here.database_url,
            "http_port": 0,
            "jwt_secret": SECRET,
            "jwks_url": jwks_url,
            "encryption_keys": ENCRYPTION_KEYS,
        }
    )
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(settings, intake=Intake(FakeProducer(), topic_prefix=""), on_listening=port.set_result)
    )
    database = Database(here.database_url, size=AT_ONCE)
    try:
        async with asyncio.timeout(START_SECONDS):
            url = f"http://127.0.0.1:{await port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=START_SECONDS) as client:
            yield client, database
    finally:
        await database.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


ROW = Row(fault="F20", title="two accounts with the same ids everywhere, forged tokens, no account named", run=run)
