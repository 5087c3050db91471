"""HTTP to the collector and the API: one attempt, told as a value; and reads with a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import msgspec

from nearline.client.errors import AnswerUnreadable, Refused, Unavailable
from nearline.client.messages import batch_body
from nearline.client.retry import BODY_STATUSES, RETRY_STATUSES, Backoff, retry_after_s
from nearline.clock import Clock, utc
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError

COLLECTOR, API = "collector", "recommendation API"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
T = TypeVar("T")


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

    def __init__(
        self, service: str, address: str, limit_s: float, backoff: Backoff, rng: random.Random
    ) -> None:
        self._service, self._address, self._limit_s = service, address, limit_s
        self._backoff, self._rng = backoff, rng
        self._started, self._attempt = time.monotonic(), 0

    @property
    def left_s(self) -> float:
        return max(0.001, self._limit_s - (time.monotonic() - self._started))

    def wait(self, cause: str, asked_s: float | None) -> None:
        """Sleep until the next attempt, or raise Unavailable when it would come too late."""
        delay_s = self._backoff.delay_s(self._attempt, self._rng.random(), asked_s)
        if delay_s >= self.left_s:
            waited_s = time.monotonic() - self._started
            raise Unavailable(self._service, self._address, waited_s, cause)
        time.sleep(delay_s)
        self._attempt += 1


class Transport:
    """One connection pool for both services. Safe to share between threads."""

    def __init__(
        self,
        collector_url: str,
        api_url: str,
        write_key: str,
        *,
        clock: Clock,
        rng: random.Random,
        backoff: Backoff,
    ) -> None:
        self.collector_url = _checked(collector_url, COLLECTOR)
        self.api_url = _checked(api_url, API)
        self._auth = httpx.BasicAuth(write_key, "")
        self._clock, self._rng, self._backoff = clock, rng, backoff
        local = all(httpx.URL(url).host in _LOOPBACK for url in (self.collector_url, self.api_url))
        self._http = httpx.Client(
            # A proxy set for the machine must not stand between an app and its own machine.
            trust_env=not local,
            limits=httpx.Limits(max_connections=64, keepalive_expiry=30.0),
        )

    def close(self) -> None:
        self._http.close()

    def post_batch(self, encoded: Sequence[bytes], timeout_s: float) -> Reply:
        """One attempt to deliver events; never raises for what the network or server did."""
        body = batch_body(encoded, utc(self._clock.now_us()))
        try:
            response = self._http.post(
                f"{self.collector_url}/v1/batch",
                content=body,
                headers={"content-type": "application/json"},
                auth=self._auth,
                timeout=timeout_s,
            )
        except httpx.HTTPError as error:
            return Again(_cause(error))
        if response.is_success:
            return self._verdicts(response, len(encoded))
        if response.status_code in RETRY_STATUSES:
            return Again(f"HTTP {response.status_code}", self._retry_after(response))
        refusal = Refused(COLLECTOR, response.status_code, _problem(response))
        return BodyRefused(refusal) if response.status_code in BODY_STATUSES else Stop(refusal)

    def deliver(self, encoded: Sequence[bytes], limit_s: float) -> list[Verdict]:
        """Deliver events now, tried again until the deadline; raises where `post_batch` tells."""
        patience = self._patience(COLLECTOR, self.collector_url, limit_s)
        while True:
            match self.post_batch(encoded, patience.left_s):
                case Delivered(verdicts):
                    return verdicts
                case BodyRefused(refusal):
                    raise refusal
                case Stop(error):
                    raise error
                case Again(cause, asked_s):
                    patience.wait(cause, asked_s)

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, type_: type[T], limit_s: float
    ) -> T:
        """One question to the API, tried again until the deadline while trying can help."""
        patience = self._patience(API, self.api_url, limit_s)
        while True:
            asked_s: float | None = None
            try:
                response = self._http.request(
                    method, f"{self.api_url}{path}", json=body, timeout=patience.left_s
                )
            except httpx.HTTPError as error:
                cause = _cause(error)
            else:
                if response.is_success:
                    return self._decoded(response, type_)
                if response.status_code not in RETRY_STATUSES:
                    raise Refused(API, response.status_code, _problem(response))
                cause, asked_s = f"HTTP {response.status_code}", self._retry_after(response)
            patience.wait(cause, asked_s)

    def _patience(self, service: str, address: str, limit_s: float) -> _Patience:
        return _Patience(service, address, limit_s, self._backoff, self._rng)

    def _verdicts(self, response: httpx.Response, sent: int) -> Reply:
        try:
            answer = msgspec.json.decode(response.content, type=_WireAnswer)
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

    def _decoded(self, response: httpx.Response, type_: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=type_)
        except (msgspec.DecodeError, ValueError) as error:
            raise AnswerUnreadable(API, self.api_url, str(error)) from error

    def _retry_after(self, response: httpx.Response) -> float | None:
        return retry_after_s(response.headers.get("retry-after"), utc(self._clock.now_us()))


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


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The problem document, or what little an answer without one tells."""
    try:
        document = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = None
    return document if isinstance(document, dict) else {"title": response.reason_phrase}


def _cause(error: httpx.HTTPError) -> str:
    # The message may hold the URL, and the URL a customer id: the kind of error says enough.
    return type(error).__name__
