"""Requests a second, of identities and owners, over any number of API processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app, rate_limit
from rq_broker.api.rate_limit import Purses, RateRules
from rq_broker.domain.errors import RateLimited, Unavailable
from rq_broker.domain.identity import Identity, Role
from rq_broker.store.broker import Broker
from rq_broker.store.rates import Allowance, Bucket
from tests.api.conftest import refused

SLOW = 0.001
"""A rate by which nothing comes while a test runs: what is served is the burst."""
WHO = {
    "ci": Identity("token:ci", Role.CLIENT, frozenset({"y"})),
    "lab": Identity("token:lab", Role.CLIENT, frozenset({"y"})),
    "both": Identity("token:both", Role.CLIENT, frozenset({"y", "z"})),
    "board": Identity("token:board", Role.VIEWER),
    "root": Identity("token:root", Role.ADMIN),
}


class Names:
    """Takes the header X-Who for what it says."""

    name = "name"
    scheme: Mapping[str, str] = {"type": "apiKey", "in": "header", "name": "X-Who"}
    challenge = 'Bearer realm="names"'

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        return WHO.get(headers.get("x-who", ""))


@pytest.fixture
async def processes(client: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Processes]:
    monkeypatch.setattr(rate_limit, "BURST_SECONDS", 1 / SLOW)
    async with AsyncExitStack() as stack:
        yield Processes(client, stack)


class Processes:
    """Two API processes on one Redis, asked in turn."""

    def __init__(self, client: Redis, stack: AsyncExitStack) -> None:
        self._client = client
        self._stack = stack
        self._apis: list[httpx.AsyncClient] = []
        self._asked = 0

    async def start(self, rules: RateRules, *, open_to_all: bool = False) -> None:
        for _ in range(2):
            authenticators = [] if open_to_all else [Names()]
            app = create_app(Broker(self._client), authenticators=authenticators, rates=rules)
            client = httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://api.test"
            )
            self._apis.append(await self._stack.enter_async_context(client))

    async def ask(self, who: str = "", path: str = "/v1/vm/d") -> httpx.Response:
        self._asked += 1
        headers = {"x-who": who} if who else {}
        return await self._apis[self._asked % 2].get(path, headers=headers)

    async def statuses(self, who: str, times: int) -> list[int]:
        return [(await self.ask(who)).status_code for _ in range(times)]


async def test_an_identity_has_one_rate_over_all_processes(processes: Processes) -> None:
    """Two processes together serve the burst, then both refuse and say when to go on."""
    await processes.start(RateRules(identity=4 * SLOW))
    first = await processes.ask("ci")
    assert first.headers["ratelimit-policy"] == '"identity";q=4;w=1000'
    assert first.headers["ratelimit"] == '"identity";r=3;t=250'
    assert await processes.statuses("ci", 5) == [404, 404, 404, 429, 429]
    answer = await processes.ask("ci")
    refused(answer, 429, "rate_limited", "too many requests a second")
    assert 200 < int(answer.headers["retry-after"]) <= 250
    assert answer.headers["ratelimit"] == '"identity";r=0;t=1000'
    assert await processes.statuses("lab", 4) == [404] * 4
    assert await processes.statuses("root", 9) == [404] * 9
    assert "ratelimit" not in (await processes.ask("root")).headers
    assert (await processes.ask(path="/healthz")).status_code == 200


async def test_the_identities_of_an_owner_share_a_rate(processes: Processes) -> None:
    """Two tokens of one owner are served its rate together; one of two owners has its own only."""
    await processes.start(RateRules(identity=9 * SLOW, owner=3 * SLOW))
    assert await processes.statuses("ci", 2) == [404] * 2
    assert await processes.statuses("lab", 2) == [404, 429]
    answer = await processes.ask("ci")
    assert answer.status_code == 429
    assert answer.headers["ratelimit-policy"] == '"identity";q=9;w=1000, "owner";q=3;w=1000'
    assert await processes.statuses("both", 10) == [404] * 9 + [429]
    assert await processes.statuses("board", 10) == [404] * 9 + [429]


async def test_admins_are_limited_where_that_is_configured(processes: Processes) -> None:
    """`admin` limits an admin by its name, and nobody else."""
    await processes.start(RateRules(admin=2 * SLOW))
    assert await processes.statuses("root", 3) == [404, 404, 429]
    assert await processes.statuses("ci", 5) == [404] * 5


async def test_without_access_control_an_address_is_limited(processes: Processes) -> None:
    """Everybody is an admin then, told apart by address."""
    await processes.start(RateRules(admin=2 * SLOW), open_to_all=True)
    assert await processes.statuses("", 3) == [404, 404, 429]


class FakeRedis:
    """Gives what is asked for, as long as it has it, and counts the calls."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.now = 0.0
        self.wanted: list[int] = []
        self.is_away = False

    async def take(self, _: Sequence[Bucket], wanted: int) -> Allowance:
        if self.is_away:
            raise Unavailable("away")
        self.wanted.append(wanted)
        taken = min(wanted, self.tokens)
        self.tokens -= taken
        return Allowance(taken, 0.0 if taken else 2.5, (self.tokens,))


async def test_who_asks_often_costs_few_calls() -> None:
    """A process fetches twice as many each time while they are used up at once, up to what
    comes in a moment; and one again after a pause."""
    redis = FakeRedis(1000)
    purses = Purses(redis.take, lambda: redis.now)
    buckets = [Bucket("x", 160.0, 800)]
    left = [await purses.spend(buckets) for _ in range(31)]
    assert redis.wanted == [1, 2, 4, 8, 8, 8]
    assert left == [(969 + 30 - number,) for number in range(31)]
    redis.now += 1
    await purses.spend(buckets)
    assert redis.wanted[-1] == 1


async def test_who_is_refused_costs_no_call_until_then() -> None:
    """A flood behind an empty bucket is refused by the process itself, for as long as it lasts."""
    redis = FakeRedis(1)
    purses = Purses(redis.take, lambda: redis.now)
    buckets = [Bucket("x", 0.4, 1)]
    await purses.spend(buckets)
    for elapsed, after in ((0.0, 3), (1.0, 2), (2.4, 1)):
        redis.now = elapsed
        with pytest.raises(RateLimited) as refusal:
            await purses.spend(buckets)
        assert refusal.value.retry_after == after
    assert redis.wanted == [1, 1]
    redis.now, redis.tokens = 2.5, 1
    await purses.spend(buckets)


async def test_one_name_with_other_owners_is_counted_apart() -> None:
    """JWTs of one subject may have one owner, several, and another: each set of buckets is asked
    for by itself, and told as many numbers as it has."""
    asked: list[tuple[str, ...]] = []

    async def take(buckets: Sequence[Bucket], wanted: int) -> Allowance:
        asked.append(tuple(bucket.name for bucket in buckets))
        return Allowance(wanted, 0.0, tuple(9 for _ in buckets))

    purses = Purses(take, lambda: 0.0)
    who, first, second = (Bucket(name, 160.0, 800) for name in ("identity:a", "owner:y", "owner:z"))
    for buckets in ([who, first], [who], [who, second]):
        for _ in range(2):  # the second asks for more than is served at once
            assert len(await purses.spend(buckets)) == len(buckets)
    names = [("identity:a", "owner:y"), ("identity:a",), ("identity:a", "owner:z")]
    assert asked == [each for each in names for _ in range(2)]


async def test_a_redis_that_is_away_refuses_nobody_for_that(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis does not count the request is served, or refused for what it needs itself."""
    broker = Broker(client)
    redis = FakeRedis(0)
    redis.is_away = True
    monkeypatch.setattr(broker, "allow", redis.take)
    app = create_app(broker, rates=RateRules(admin=1.0))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        assert (await api.get("/docs")).status_code == 200
