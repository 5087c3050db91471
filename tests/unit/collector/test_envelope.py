from __future__ import annotations

import gzip
import json
import random

import pytest

from ingestion.collector.envelope import EnvelopeRefused, batch, decompressed, single
from ingestion.collector.limits import Limits
from ingestion.collector.split import NotSplittable, elements, members

LIMITS = Limits()


def refusal(body: bytes, limits: Limits = LIMITS) -> tuple[int, str]:
    with pytest.raises(EnvelopeRefused) as caught:
        batch(body, limits)
    return caught.value.status, caught.value.code


def test_each_event_is_cut_out_as_it_came() -> None:
    envelope = batch(b'{"batch":[{"a": 1}, {"b":"]}"} ,3],"sentAt":"t","writeKey":"k"}', LIMITS)

    assert envelope.events == [b'{"a": 1}', b'{"b":"]}"}', b"3"]
    assert (envelope.sent_at, envelope.write_key) == ("t", "k")


@pytest.mark.parametrize(
    "bad",
    [
        b'{"a":NaN}',
        b'{"a":1e400}',
        b"{'a':1}",
        b'{"a":[1}',
        b'{"a":}',
        b"nonsense",
        b'"\\ud800"',
        b'{"\xff":1}',
        b'{"a":"line\nbreak"}',
        b"[" * 3_000 + b"]" * 3_000,
        b"",
    ],
)
def test_one_bad_event_spoils_only_itself(bad: bytes) -> None:
    body = b'{"sentAt":"t","batch":[{"good":1},' + bad + b',{"good":2}],"writeKey":"k"}'

    envelope = batch(body, LIMITS)

    assert envelope.events == [b'{"good":1}', bad, b'{"good":2}']
    assert (envelope.sent_at, envelope.write_key) == ("t", "k")


def test_splitting_agrees_with_a_json_parser_on_whatever_is_json() -> None:
    dice = random.Random(7)

    def value(depth: int) -> object:
        roll = dice.random()
        if depth and roll < 0.3:
            return [value(depth - 1) for _ in range(dice.randrange(4))]
        if depth and roll < 0.6:
            return {text(): value(depth - 1) for _ in range(dice.randrange(4))}
        return dice.choice([text(), dice.random(), dice.randrange(10**6), None, True])

    def text() -> str:
        return "".join(dice.choices('ab"\\[]{},: \n\t顾é', k=dice.randrange(6)))

    for _ in range(300):
        said = {text() + str(n): value(3) for n in range(3)} | {"batch": [value(3), value(3)]}
        body = json.dumps(said, ensure_ascii=dice.random() < 0.5, indent=dice.choice([None, 1]))

        parts = members(body.encode())

        assert {
            json.loads(b'"' + key + b'"'): json.loads(raw) for key, raw in parts.items()
        } == said
        assert [json.loads(raw) for raw in elements(parts[b"batch"])] == said["batch"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"batch":[',
        b'{"batch":[1]',
        b'{"batch":["a]}',
        b"[]",
        b"nope",
        b"{}{}",
        b"{1:2}",
    ],
)
def test_a_body_that_is_no_object_is_400(body: bytes) -> None:
    assert refusal(body)[0] in (400, 422)


def test_what_is_json_and_no_batch_is_422() -> None:
    assert refusal(b"{}") == (422, "batch_missing")
    assert refusal(b'{"batch":{}}') == (422, "batch_missing")
    assert refusal(b"[]") == (400, "json_invalid")
    assert refusal(b'{"batch":[],"context":3}') == (422, "context_invalid")


def test_2500_events_are_taken_and_2501_are_not() -> None:
    assert len(batch(b'{"batch":[' + b",".join([b"1"] * 2_500) + b"]}", LIMITS).events) == 2_500
    assert refusal(b'{"batch":[' + b",".join([b"1"] * 2_501) + b"]}") == (413, "too_many_events")


@pytest.mark.parametrize("sent", ["3", "true", "{}", '"' + "9" * 65 + '"', "NaN"])
def test_a_sending_time_that_cannot_be_one_is_left_for_the_events_to_refuse(sent: str) -> None:
    assert batch(f'{{"batch":[],"sentAt":{sent}}}'.encode(), LIMITS).sent_at == "no time"


def test_a_shared_context_is_small_since_each_event_stores_it() -> None:
    context = json.dumps({"x": "y" * 9_000})

    assert refusal(b'{"batch":[],"context":%s}' % context.encode()) == (422, "context_invalid")
    assert refusal(b'{"batch":[],"context":{"x":%d}}' % 2**64) == (422, "context_invalid")


def test_gzip_is_unpacked_and_a_bomb_is_not() -> None:
    assert decompressed(gzip.compress(b"abc"), LIMITS) == b"abc"
    assert decompressed(gzip.compress(b"abc") + gzip.compress(b"def"), LIMITS) == b"abcdef"
    bomb = gzip.compress(b"\0" * 50_000_000)
    with pytest.raises(EnvelopeRefused) as caught:
        decompressed(bomb, LIMITS)
    assert caught.value.status == 413
    many = gzip.compress(b"\0" * 300_000) * 2
    with pytest.raises(EnvelopeRefused):
        decompressed(many, LIMITS)


@pytest.mark.parametrize(
    "body", [b"plain", gzip.compress(b"x" * 99)[:-9], gzip.compress(b"x") + b"?"]
)
def test_broken_gzip_is_400(body: bytes) -> None:
    with pytest.raises(EnvelopeRefused) as caught:
        decompressed(body, LIMITS)
    assert caught.value.status == 400


def test_a_single_call_is_one_event_even_if_it_is_no_json() -> None:
    assert single(b"{nope").events == [b"{nope"]
    assert single(b'{"writeKey":"k","userId":"u"}').write_key == "k"


def test_deep_nesting_never_overflows_the_splitter() -> None:
    with pytest.raises(NotSplittable):
        elements(b"[" * 500_000)


def test_brackets_that_match_across_a_deep_nest_are_split_in_one_pass() -> None:
    # As large as a request may be. Searching the open brackets at each "}" took minutes.
    deep = b"[" * 150_000 + b"{}" * 150_000

    with pytest.raises(EnvelopeRefused) as caught:
        batch(b'{"batch":[' + deep + b"}", LIMITS)

    assert caught.value.code == "batch_missing"
