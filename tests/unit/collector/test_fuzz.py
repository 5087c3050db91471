"""Whatever bytes arrive, each event ends in a verdict or the request in a refusal."""

from __future__ import annotations

import json
import random

from ingestion.collector.envelope import EnvelopeRefused, batch
from ingestion.collector.letter import Call, letter_of
from ingestion.collector.limits import Limits
from ingestion.collector.parse import parse
from nearline.contracts.event import Event, decode_event, encode_event
from nearline.log import Rejection
from nearline.write_keys import WriteKey

NOW_US = 1_795_000_000_000_000
LIMITS = Limits()
TOKENS = [
    b"NaN",
    b"1e999",
    b"null",
    b"{}",
    b"[[[[",
    b"}",
    b"]",
    b'"',
    b"\\",
    b"\\ud800",
    b"\xff",
    b"\0",
]
TOKENS += [
    b"9" * 30,
    b"-1",
    b"true",
    b'"\\u0000"',
    b",",
    b":",
    b"1.5",
    b'{"a":' * 20 + b"1" + b"}" * 20,
]


def test_mutated_batches_never_raise_and_what_is_taken_can_be_stored() -> None:
    dice = random.Random(11)
    event = {
        "type": "track",
        "event": "purchase",
        "userId": "ada",
        "messageId": "m",
        "timestamp": "2026-11-18T11:00:00Z",
        "properties": {"items": [{"item_id": "i", "price": 1.5, "quantity": 2}], "value": 3},
        "context": {"consent": {"categoryPreferences": {"analytics": True}}},
    }
    whole = {"batch": [event] * 3, "sentAt": "2026-11-18T11:06:00Z", "context": {"a": 1}}
    good = json.dumps(whole).encode()
    taken = rejected = refused = 0
    for _ in range(3_000):
        body = good
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(body))
            body = body[:at] + dice.choice(TOKENS) + body[at + dice.choice([0, 0, 1, 3, 9]) :]
        try:
            envelope = batch(body, LIMITS)
        except EnvelopeRefused:
            refused += 1
            continue
        call = Call("app", NOW_US, None, envelope.sent_at, envelope.context)
        for raw in envelope.events:
            result = parse(
                raw,
                call,
                WriteKey(name="app"),
                LIMITS,
                known_at_us=NOW_US,
                new_id=lambda: "made",
            )
            if isinstance(result, Event):
                taken += 1
                assert decode_event(encode_event(result)) == result
                assert result.occurred_at_us <= result.known_at_us
                json.loads(result.payload)
            elif isinstance(result, Rejection):
                rejected += 1
                letter = letter_of(result.raw)
                assert letter is not None
                assert letter.raw == raw
    assert min(taken, rejected, refused) > 300
