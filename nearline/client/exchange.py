"""The exchange with both services over HTTP: what is sent, when again, and what an answer means.

Programs (see `steps`) over values: no socket is opened here.
"""

from __future__ import annotations

import base64
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import msgspec

from nearline import tracing
from nearline.client.errors import AnswerUnreadable, Refused, Unavailable
from nearline.client.messages import batch_body
from nearline.client.retry import BODY_STATUSES, RETRY_STATUSES, Backoff, retry_after_s
from nearline.client.steps import Program
from nearline.clock import Clock, utc
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError
from nearline.tracing import NAME

COLLECTOR, API = "collector", "recommendation API"
DEADLINE_HEADER = "X-Nearline-Deadline-Ms"
_LONGEST_DEADLINE_MS = 60_000  # The API reads no more.
_JSON = {"Content-Type": "application/json"}
_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step: one HTTP request. What came of it is `Answered`, or `Silence` after `left_s`."""

    method: str
    url: str
    left_s: float
    headers: Mapping[str, str]
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer. `cause` is the kind of error alone: its text may hold a customer's id."""

    cause: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """A step: let time pass."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """The collector answered for each event, in order."""

    verdicts: list[Verdict]


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing is known of the batch; sending the same messages later is right."""

    cause: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class BodyRefused:
    """The batch as a whole was refused for what is in it."""

    refusal: Refused


@dataclass(frozen=True, slots=True)
class Stop:
    """No batch will be taken until somebody changes the configuration."""

    error: PermanentError


Reply = Delivered | Again | BodyRefused | Stop


class _WireVerdict(msgspec.Struct, rename="camel"):
    outcome: Outcome
    message_id: str | None = None
    position: str | None = None
    code: str | None = None
    hint: str | None = None


class _WireAnswer(msgspec.Struct):
    verdicts: list[_WireVerdict]


class _Patience:
    """A deadline that is spent on attempts and on the pauses between them."""

    def __init__(self, exchange: Exchange, service: str, address: str, limit_s: float) -> None:
        self._exchange, self._service, self._address = exchange, service, address
        self._limit_s, self._started = limit_s, exchange.monotonic()
        self._failures, self._last, self._causes = 0, False, dict[str, None]()

    def left_s(self) -> float:
        """Seconds for the next attempt; raises Unavailable when there are none."""
        left_s = self._limit_s - self._waited_s()
        if left_s <= 0:
            raise self._over()
        return left_s

    def pause(self, cause: str, asked_s: float | None) -> Sleep:
        """The pause before the next attempt; raises Unavailable when that would come too late.

        Where chance alone would make it too late, there is one last attempt, halfway.
        """
        exchange, left_s = self._exchange, self._limit_s - self._waited_s()
        self._causes[cause] = None  # All of them: the last is often no more than the time.
        delay_s = exchange.backoff.delay_s(self._failures, exchange.rng.random(), asked_s)
        if delay_s >= left_s and asked_s is None and not self._last:
            delay_s, self._last = left_s / 2, True
        if left_s <= 0 or delay_s >= left_s:
            raise self._over()
        self._failures += 1
        return Sleep(delay_s)

    def _waited_s(self) -> float:
        return self._exchange.monotonic() - self._started

    def _over(self) -> Unavailable:
        causes = ", then ".join(self._causes) or "no time was given"
        return Unavailable(self._service, self._address, self._waited_s(), causes)


class Exchange:
    """Both services, asked by one application under one write key."""

    def __init__(
        self,
        collector_url: str,
        api_url: str,
        write_key: str,
        *,
        clock: Clock,
        rng: random.Random,
        backoff: Backoff,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.collector_url = _checked(collector_url, COLLECTOR)
        self.api_url = _checked(api_url, API)
        self._has_key = bool(write_key.strip())
        self._key = "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()
        self._clock, self.rng, self.backoff, self.monotonic = clock, rng, backoff, monotonic
        self._told: set[str] = set()  # Paths whose end was announced in the log.

    def check_write_key(self) -> None:
        """Raises PermanentError where the key is empty, which is enough for questions alone."""
        if not self._has_key:
            raise PermanentError(
                "this client has an empty write key: it can ask questions, but send no events. "
                "Give it a key as write_key; `nearline collector --show-key` prints one"
            )

    def post(self, encoded: Sequence[bytes], limit_s: float) -> Program[Reply]:
        """One attempt to deliver events; never raises for what the network or server did."""
        body = batch_body(encoded, utc(self._clock.now_us()))
        headers = {**_JSON, "Authorization": self._key}
        answer: Answered | Silence = yield Attempt(
            "POST", f"{self.collector_url}/v1/batch", limit_s, headers, body
        )
        if isinstance(answer, Silence):
            return Again(answer.cause)
        if answer.ok:
            return self._verdicts(answer.content, len(encoded))
        if answer.status in RETRY_STATUSES:
            return Again(f"HTTP {answer.status}", self._asked_s(answer))
        refusal = _refused(COLLECTOR, answer)
        return BodyRefused(refusal) if answer.status in BODY_STATUSES else Stop(refusal)

    def deliver(self, encoded: Sequence[bytes], limit_s: float) -> Program[list[Verdict]]:
        """Deliver events now, tried again until the deadline; raises where `post` tells."""
        patience = _Patience(self, COLLECTOR, self.collector_url, limit_s)
        while True:
            match (yield from self.post(encoded, patience.left_s())):
                case Delivered(verdicts):
                    return verdicts
                case BodyRefused(refusal):
                    raise refusal
                case Stop(error):
                    raise error
                case Again(cause, asked_s):
                    yield patience.pause(cause, asked_s)

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, type_: type[T], limit_s: float
    ) -> Program[T]:
        """One question to the API, tried again until the deadline while trying can help.

        Each attempt says how many milliseconds are left, so that nobody works for nobody.
        """
        patience = _Patience(self, API, self.api_url, limit_s)
        content = None if body is None else msgspec.json.encode(body)
        while True:
            left_s = patience.left_s()
            left_ms = min(max(1, int(left_s * 1_000)), _LONGEST_DEADLINE_MS)
            headers = {DEADLINE_HEADER: str(left_ms), **({} if content is None else _JSON)}
            # What a path names beyond its service may be a customer.
            with tracing.calling(f"{NAME}.{path.split('/')[2]}", headers):
                answer: Answered | Silence = yield Attempt(
                    method, f"{self.api_url}{path}", left_s, headers, content
                )
            if isinstance(answer, Silence):
                yield patience.pause(answer.cause, None)
                continue
            self._warn_of_end(path, answer.headers)
            if answer.ok:
                return self._decoded(answer.content, type_)
            if answer.status not in RETRY_STATUSES:
                raise _refused(API, answer)
            yield patience.pause(f"HTTP {answer.status}", self._asked_s(answer))

    def _verdicts(self, content: bytes, sent: int) -> Reply:
        try:
            answer = msgspec.json.decode(content, type=_WireAnswer)
            verdicts = [
                Verdict(
                    wire.outcome,
                    wire.message_id,
                    LogPosition.parse(wire.position) if wire.position else None,
                    wire.code,
                    wire.hint,
                )
                for wire in answer.verdicts
            ]
        except (msgspec.DecodeError, ValueError) as error:
            return Stop(AnswerUnreadable(COLLECTOR, self.collector_url, str(error)))
        if len(verdicts) != sent:
            cause = f"{len(verdicts)} verdicts for {sent} events"
            return Stop(AnswerUnreadable(COLLECTOR, self.collector_url, cause))
        return Delivered(verdicts)

    def _decoded(self, content: bytes, type_: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=type_)
        except (msgspec.DecodeError, ValueError) as error:
            raise AnswerUnreadable(API, self.api_url, str(error)) from error

    def _asked_s(self, answer: Answered) -> float | None:
        return retry_after_s(answer.headers.get("retry-after"), utc(self._clock.now_us()))

    def _warn_of_end(self, path: str, headers: Mapping[str, str]) -> None:
        """Tell the app's people once what the server announces: RFC 9745 and RFC 8594."""
        if "deprecation" not in headers:
            return
        call = "/".join(path.split("/")[:3])  # Without the customer.
        if call not in self._told:
            self._told.add(call)
            _log.warning(
                "%s is deprecated and ends %s: %s",
                call,
                headers.get("sunset", "at a time not yet named")[:80],
                headers.get("link", "see docs/clients.md")[:200],
            )


def _checked(url: str, service: str) -> str:
    try:
        fits = httpx.URL(url).scheme in ("http", "https") and bool(httpx.URL(url).host)
    except httpx.InvalidURL:
        fits = False
    if not fits:
        raise PermanentError(
            f"the address of the {service} is {url[:80]!r}; expected one such as "
            "http://127.0.0.1:7300"
        )
    return url.rstrip("/")


def _refused(service: str, answer: Answered) -> Refused:
    """The refusal with its problem document, or what little an answer without one tells."""
    try:
        document = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict):
        known = answer.status in HTTPStatus._value2member_map_
        document = {"title": HTTPStatus(answer.status).phrase} if known else {}
    return Refused(service, answer.status, document)
