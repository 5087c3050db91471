"""How the load generator asks: lean clients, so that it takes little of the machine it measures."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import grpc
import grpc.aio
import msgspec

from nearline.bench.jobs import AskGrpc, AskHttp, Follow, Look
from nearline.bench.looks import look_message
from nearline.client.calls import covers
from nearline.contracts.answer import MAX_WAIT_MS, Recommendation
from nearline.contracts.position import LogPosition
from nearline.v1 import recommend_pb2, recommend_pb2_grpc

GIVE_UP_S = 5.0
_REFUSED, _OK, _RETRY_AFTER_S = 429, 200, 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """How one question ended. `waited_s` is what the system asks a refused client to wait."""

    answered: bool = True
    refused: bool = False
    waited_s: float = 0.0
    changed: bool = False


FAILED = Reply(answered=False)
Prepare = Callable[[int], Awaitable[None]]
Ask = Callable[[int], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Asker:
    """`prepare` is done ahead of time and not counted; `ask` is."""

    ask: Ask
    prepare: Prepare | None = None


class _Verdict(msgspec.Struct):
    outcome: str
    position: str | None = None


class _Verdicts(msgspec.Struct):
    verdicts: list[_Verdict]


_verdicts = msgspec.json.Decoder(_Verdicts)
_recommendation = msgspec.json.Decoder(Recommendation)


async def asker(what: AskHttp | AskGrpc | Look | Follow, closing: AsyncExitStack) -> Asker:
    """What asks; its connections are closed with `closing`."""
    match what:
        case AskGrpc():
            channel = await closing.enter_async_context(grpc.aio.insecure_channel(what.address))
            return Asker(_over_grpc(what, channel))
        case AskHttp():
            return Asker(_over_http(what, await _session(closing)))
        case Look():
            return Asker(_looking(what, await _session(closing)))
        case Follow():
            return _following(what, await _session(closing))


async def _session(closing: AsyncExitStack) -> aiohttp.ClientSession:
    return await closing.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=GIVE_UP_S),
        )
    )


def _body(customer_id: str, k: int, **more: object) -> bytes:
    return msgspec.json.encode({"customer_id": customer_id, "k": k, **more})


_JSON = {"content-type": "application/json"}


async def _post(
    session: aiohttp.ClientSession, url: str, body: bytes, auth: aiohttp.BasicAuth | None = None
) -> tuple[Reply, bytes]:
    try:
        async with session.post(url, data=body, headers=_JSON, auth=auth) as response:
            data = await response.read()
            if response.status == _OK:
                return Reply(), data
            if response.status == _REFUSED:
                wait_s = float(response.headers.get("retry-after") or _RETRY_AFTER_S)
                return Reply(answered=False, refused=True, waited_s=wait_s), data
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    return FAILED, b""


def _over_http(what: AskHttp, session: aiohttp.ClientSession) -> Ask:
    url = f"{what.url}/v1/recommend"
    bodies = [_body(customer_id, what.k) for customer_id in what.customers]

    async def ask(number: int) -> Reply:
        reply, _ = await _post(session, url, bodies[number % len(bodies)])
        return reply

    return ask


def _over_grpc(what: AskGrpc, channel: grpc.aio.Channel) -> Ask:
    stub = recommend_pb2_grpc.RecommendationsStub(channel)  # type: ignore[no-untyped-call]
    questions = [
        recommend_pb2.RecommendRequest(customer_id=customer_id, k=what.k)
        for customer_id in what.customers
    ]

    async def ask(number: int) -> Reply:
        try:
            await stub.Recommend(questions[number % len(questions)], timeout=GIVE_UP_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return Reply(answered=False, refused=True, waited_s=_RETRY_AFTER_S)
            return FAILED
        return Reply()

    return ask


class _Looks:
    """Sends one event; seeded."""

    def __init__(self, what: Look, session: aiohttp.ClientSession) -> None:
        self._what, self._session = what, session
        self._rng = random.Random(what.seed)  # noqa: S311 - a repeatable choice
        self._auth = aiohttp.BasicAuth(what.write_key, "")

    def customer(self, number: int) -> str:
        return self._what.customers[number % len(self._what.customers)]

    async def send(self, number: int, not_among: frozenset[str] = frozenset()) -> str | None:
        """The event's log position, None where it was not accepted."""
        others = [item for item in self._what.items if item.item_id not in not_among]
        item = self._rng.choice(others or self._what.items)
        message = look_message(self.customer(number), item, number, f"{self._what.seed}")
        body = msgspec.json.encode({"batch": [message]})
        reply, data = await _post(self._session, f"{self._what.url}/v1/batch", body, self._auth)
        if not reply.answered:
            return None
        (verdict,) = _verdicts.decode(data).verdicts
        return verdict.position


def _looking(what: Look, session: aiohttp.ClientSession) -> Ask:
    looks = _Looks(what, session)

    async def ask(number: int) -> Reply:
        return FAILED if await looks.send(number) is None else Reply()

    return ask


def _following(what: Follow, session: aiohttp.ClientSession) -> Asker:
    looks, url = _Looks(what.look, session), f"{what.api_url}/v1/recommend"
    before: dict[int, list[str]] = {}

    async def shown(body: bytes) -> tuple[Recommendation | None, Reply]:
        reply, data = await _post(session, url, body)
        return (_recommendation.decode(data) if reply.answered else None), reply

    async def prepare(number: int) -> None:
        answer, _ = await shown(_body(looks.customer(number), what.k))
        before[number] = [item.item_id for item in answer.items] if answer else []

    async def ask(number: int) -> Reply:
        listed = before.pop(number, [])
        position = await looks.send(number, frozenset(listed))
        if position is None:
            return FAILED
        wanted, ends_s = LogPosition.parse(position), time.monotonic() + GIVE_UP_S
        question = _body(
            looks.customer(number), what.k, min_position=position, max_wait_ms=MAX_WAIT_MS
        )
        while time.monotonic() < ends_s:
            answer, reply = await shown(question)
            if answer is None:
                return reply
            if covers(answer.receipt.log_position, wanted):
                return Reply(changed=[item.item_id for item in answer.items] != listed)
        return FAILED

    return Asker(ask, prepare)
