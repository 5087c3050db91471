from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import redis
from google.protobuf.struct_pb2 import Struct

from ingestion.collector.grpc_door import json_of
from nearline import keys
from nearline.v1 import ingest_pb2, ingest_pb2_grpc

pytestmark = pytest.mark.redis
GRANTED = {"consent": {"categoryPreferences": {"analytics": True, "personalization": True}}}


def struct(said: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(said)
    return made


def view(message_id: str, **fields: Any) -> ingest_pb2.SegmentEvent:
    said: dict[str, Any] = {
        "type": "track",
        "event": "view_item",
        "user_id": "ada",
        "message_id": message_id,
        "properties": struct({"items": [{"item_id": "i1", "quantity": 2, "price": 9.5}]}),
        "context": struct(GRANTED),
        **fields,
    }
    return ingest_pb2.SegmentEvent(**said)


def signed(key: str) -> list[tuple[str, str]]:
    return [("authorization", "Basic " + base64.b64encode(f"{key}:".encode()).decode())]


@pytest.fixture
def channel(served: Any, valkey: redis.Redis) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.grpc) as opened:
        yield opened


def outcomes(answer: ingest_pb2.CollectResponse) -> list[str]:
    return [verdict.outcome for verdict in answer.verdicts]


def refusal(call: Any, *arguments: Any, **options: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        list(call(*arguments, **options)) if options.pop("stream", False) else call(
            *arguments, **options
        )
    code: grpc.StatusCode = caught.value.code()  # type: ignore[attr-defined]
    return code


def test_a_batch_gets_the_same_verdicts_as_over_http(served: Any, channel: grpc.Channel) -> None:
    stub: Any = ingest_pb2_grpc.CollectorStub(channel)
    request = ingest_pb2.CollectRequest(
        events=[
            view("1"),
            view("1"),
            view("2", user_id=""),
            view("3", context=struct({})),
            view("4", properties=struct({"item_id": "i", "x": float("nan")})),
        ]
    )

    answer = stub.Collect(request, metadata=signed(served.key))

    assert outcomes(answer) == ["accepted", "duplicate", "rejected", "consent_refused", "rejected"]
    assert answer.verdicts[0].position.count("-") == 2
    assert [verdict.code for verdict in answer.verdicts] == [
        "",
        "",
        "user_missing",
        "consent_missing",
        "json_invalid",
    ]


def test_whole_numbers_travel_as_whole_numbers() -> None:
    [line] = json.loads(json_of(view("1")))["properties"]["items"]

    assert repr(line["quantity"]) == "2"  # A protobuf Struct holds 2.0.


def test_a_stream_answers_each_batch_in_order(served: Any, channel: grpc.Channel) -> None:
    stub: Any = ingest_pb2_grpc.CollectorStub(channel)
    batches = [ingest_pb2.CollectRequest(events=[view(str(n // 2))]) for n in range(6)]

    answers = list(stub.CollectStream(iter(batches), metadata=signed(served.key)))

    assert [outcomes(answer) for answer in answers] == [["accepted"], ["duplicate"]] * 3


def test_limits_keys_and_the_shape_of_the_stream_have_their_own_codes(
    served: Any, channel: grpc.Channel
) -> None:
    stub: Any = ingest_pb2_grpc.CollectorStub(channel)
    many = ingest_pb2.CollectRequest(events=[ingest_pb2.SegmentEvent()] * 2_501)
    large = ingest_pb2.CollectRequest(events=[view("1", name="x" * 600_000)])
    key = signed(served.key)

    assert refusal(stub.Collect, many, metadata=key) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal(stub.Collect, large, metadata=key) is grpc.StatusCode.RESOURCE_EXHAUSTED
    bomb = refusal(stub.Collect, large, metadata=key, compression=grpc.Compression.Gzip)
    assert bomb is grpc.StatusCode.RESOURCE_EXHAUSTED
    for metadata in (None, signed("wrong"), [("authorization", "Bearer x")]):
        code = refusal(stub.Collect, ingest_pb2.CollectRequest(), metadata=metadata)
        assert code is grpc.StatusCode.UNAUTHENTICATED


def test_health_and_reflection_answer(channel: grpc.Channel) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    healthy = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(service="nearline.v1.Collector")
    )
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
    (listed,) = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )

    assert healthy.status == health_pb2.HealthCheckResponse.SERVING
    names = {service.name for service in listed.list_services_response.service}
    assert "nearline.v1.Collector" in names


def test_200_random_frames_never_end_in_internal_or_unknown(
    served: Any, channel: grpc.Channel, valkey: redis.Redis
) -> None:
    dice = random.Random(42)
    whole = ingest_pb2.CollectRequest(events=[view("1"), view("2")], sent_at="x")
    good = whole.SerializeToString()

    def frame() -> bytes:
        roll = dice.random()
        if roll < 0.3:
            return dice.randbytes(dice.randrange(200))
        if roll < 0.5:
            return good[: dice.randrange(len(good))]
        changed = bytearray(good)
        for _ in range(dice.randrange(1, 6)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed)

    codes: list[grpc.StatusCode] = []
    for number in range(200):
        frames = [frame() for _ in range(dice.randrange(1, 4))]
        key = signed(served.key) if dice.random() < 0.9 else None
        try:
            if number % 4 == 0:
                call = channel.stream_stream("/nearline.v1.Collector/CollectStream")
                list(call(iter(frames), metadata=key, timeout=10))
            elif number % 4 == 1:
                name = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
                list(channel.stream_stream(name)(iter(frames), timeout=10))
            elif number % 8 == 2:
                channel.unary_unary("/grpc.health.v1.Health/Check")(frames[0], timeout=10)
            else:
                call = channel.unary_unary("/nearline.v1.Collector/Collect")
                call(frames[0], metadata=key, timeout=10)
            codes.append(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            codes.append(error.code())  # type: ignore[attr-defined]

    assert not {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN} & set(codes)
    assert {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
    } <= set(codes)
    counts: Counter[str] = Counter()
    for partition in range(4):
        for name, number in valkey.hgetall(keys.counts(partition)).items():  # type: ignore[union-attr]
            counts[name.decode()] += int(number)
    assert counts["received"] == counts.total() / 2 > 0
