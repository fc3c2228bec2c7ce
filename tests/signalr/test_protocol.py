"""Records and their bytes. No server."""

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.signalr import protocol
from chat.signalr.protocol import (
    JSON,
    MESSAGEPACK,
    Ack,
    CancelInvocation,
    Close,
    Completion,
    Invocation,
    Ping,
    ProtocolError,
    Sequence,
    StreamInvocation,
    StreamItem,
)

LIMIT = 32 * 1024


def packed(*values):
    record = msgpack.packb(list(values))
    return MESSAGEPACK.length_of(len(record)) + record


# What we write, byte for byte, in both encodings.
VECTORS = [
    (
        Invocation("Said", [{"text": "hé"}]),
        '{"type":1,"target":"Said","arguments":[{"text":"hé"}]}',
        packed(1, {}, None, "Said", [{"text": "hé"}], []),
    ),
    (
        Invocation("Add", [1, 2], "7"),
        '{"type":1,"invocationId":"7","target":"Add","arguments":[1,2]}',
        packed(1, {}, "7", "Add", [1, 2], []),
    ),
    (
        StreamItem("7", 1.5),
        '{"type":2,"invocationId":"7","item":1.5}',
        packed(2, {}, "7", 1.5),
    ),
    (Completion("7"), '{"type":3,"invocationId":"7"}', packed(3, {}, "7", 2)),
    (
        Completion("7", result=None, has_result=True),
        '{"type":3,"invocationId":"7","result":null}',
        packed(3, {}, "7", 3, None),
    ),
    (
        Completion("7", error="no"),
        '{"type":3,"invocationId":"7","error":"no"}',
        packed(3, {}, "7", 1, "no"),
    ),
    (
        StreamInvocation("Count", [3], "7"),
        '{"type":4,"invocationId":"7","target":"Count","arguments":[3]}',
        packed(4, {}, "7", "Count", [3], []),
    ),
    (CancelInvocation("7"), '{"type":5,"invocationId":"7"}', packed(5, {}, "7")),
    (Ping(), '{"type":6}', b"\x02\x91\x06"),
    (Close(), '{"type":7}', packed(7, None, False)),
    (
        Close("gone", True),
        '{"type":7,"error":"gone","allowReconnect":true}',
        packed(7, "gone", True),
    ),
    (Ack(5), '{"type":8,"sequenceId":5}', packed(8, 5)),
    (Sequence(6), '{"type":9,"sequenceId":6}', packed(9, 6)),
]
STREAMS = [
    (JSON, b"".join(text.encode() + b"\x1e" for _, text, _ in VECTORS)),
    (MESSAGEPACK, b"".join(binary for _, _, binary in VECTORS)),
]
MESSAGES = [message for message, _, _ in VECTORS]


@pytest.mark.parametrize(("message", "text", "binary"), VECTORS)
def test_a_message_has_these_bytes(message, text, binary):
    assert JSON.encode(message) == text.encode() + b"\x1e"
    assert MESSAGEPACK.encode(message) == binary


@pytest.mark.parametrize(("spoken", "stream"), STREAMS)
def test_a_stream_may_be_split_at_every_byte(spoken, stream):
    for at in range(len(stream)):
        records, rest = spoken.split(stream[:at], LIMIT)
        more, rest = spoken.split(rest + stream[at:], LIMIT)

        assert rest == b""
        assert [spoken.decode(record) for record in records + more] == MESSAGES


# What the clients write: npm 10.0.11, pysignalr 1.3.3, signalrcore 1.0.2.
HEADERS = {"Authorization": "Bearer x"}
FROM_CLIENTS = [
    (JSON, b'{"arguments":["a"],"invocationId":"0","target":"Echo","type":1}', "0"),
    (JSON, b'{"type":1,"headers":{"Authorization":"Bearer x"},"invocationId":0,'
           b'"target":"Echo","arguments":["a"]}', "0"),
    (JSON, b'{"type":1,"target":"Echo","arguments":["a"],"streamIds":[],"new":1}', None),
    (MESSAGEPACK, msgpack.packb([1, {}, "0", "Echo", ["a"]]), "0"),
    (MESSAGEPACK, msgpack.packb([1, {}, None, "Echo", ["a"], []]), None),
    (MESSAGEPACK, msgpack.packb([1, HEADERS, "0", "Echo", ["a"]]), "0"),
    (MESSAGEPACK, msgpack.packb([1, None, 0, "Echo", ["a"]]), "0"),
]  # fmt: skip


@pytest.mark.parametrize(("spoken", "record", "identifier"), FROM_CLIENTS)
def test_the_clients_spellings_are_read(spoken, record, identifier):
    assert spoken.decode(record) == Invocation("Echo", ["a"], identifier)


@pytest.mark.parametrize("spoken", [JSON, MESSAGEPACK])
def test_types_of_the_future_are_ignored(spoken):
    record = b'{"type":99,"x":1}' if spoken is JSON else msgpack.packb([99, {}, 1])

    assert spoken.decode(record) is None


BAD_JSON = [
    b"", b"x", b"[]", b"1", b"null", b'"a"', b"{}", b'{"type":"1"}', b'{"type":true}',
    b'{"type":1}', b'{"type":1,"target":5}', b'{"type":1,"target":"a","arguments":{}}',
    b'{"type":1,"target":"a","invocationId":true}', b'{"type":1,"target":"a","invocationId":""}',
    b'{"type":1,"target":"a","arguments":[1,2,3,4,5,6,7,8,9,10,11]}',
    b'{"type":1,"target":"a","arguments":[NaN]}', b'{"type":1,"target":"a","target":"b"}',
    b'{"type":1,"target":"a","arguments":[' + b"[" * 40 + b"]" * 40 + b"]}",
    b'{"type":3,"invocationId":"1","error":"a","result":1}', b'{"type":5}',
    b'{"type":8,"sequenceId":-1}', b'{"type":8,"sequenceId":"1"}', b'{"type":9}',
    b'{"type":6}\xff', b'{"type":1,"target":"\\ud800"}',
    b'{"type":4,"target":"a","arguments":[]}',
    b'{"type":1,"target":"a","invocationId":"' + b"i" * 129 + b'"}',
]  # fmt: skip
BAD_MESSAGEPACK = [
    b"", b"\xc1", msgpack.packb([]), msgpack.packb({}), msgpack.packb(6), msgpack.packb(["1"]),
    msgpack.packb([True]), msgpack.packb([1]), msgpack.packb([1, {}, "1"]),
    msgpack.packb([1, {}, "1", "a", {}]), msgpack.packb([1, {}, "1", "a", [b"bytes"]]),
    msgpack.packb([1, {}, "1", "a", [msgpack.ExtType(5, b"x")]]),
    msgpack.packb([1, {}, "1", "a", [float("nan")]]), msgpack.packb([1, {}, "1", "a", [{1: 2}]]),
    msgpack.packb([1, {}, "1", "a", [msgpack.Timestamp(1)]]), msgpack.packb([8, -1]),
    msgpack.packb([9]), msgpack.packb([6]) + b"x", b"\xdd\xff\xff\xff\xff", b"\x91" * 2000,
    b"\x93\x01\x80\xa1\xff", msgpack.packb([1, {}, "1", "a\x00", ["\x00"]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoken", "record"),
    [(JSON, r) for r in BAD_JSON] + [(MESSAGEPACK, r) for r in BAD_MESSAGEPACK],
)
def test_a_bad_record_is_a_protocol_error(spoken, record):
    with pytest.raises(ProtocolError):
        spoken.decode(record)


@pytest.mark.parametrize(
    ("spoken", "data"),
    [(JSON, b"x" * 11), (JSON, b"x" * 11 + b"\x1e"), (MESSAGEPACK, b"\x0b"),
     (MESSAGEPACK, b"\xff\xff\xff\xff\xff"), (MESSAGEPACK, b"\x80" * 5)],
)  # fmt: skip
def test_a_record_over_the_limit_is_refused_before_it_is_whole(spoken, data):
    with pytest.raises(ProtocolError):
        spoken.split(data, 10)


@pytest.mark.parametrize(
    "data",
    [b"\x1e", b"x\x1e", b"[]\x1e", b'{"protocol":"json"\x1e', b"x" * 101],
)
def test_an_unreadable_handshake_is_an_error(data):
    with pytest.raises(ProtocolError) as caught:
        protocol.read_handshake(data, 100)
    assert not isinstance(caught.value, protocol.HandshakeRefused)


@pytest.mark.parametrize(
    "request_",
    [{}, {"protocol": "xml", "version": 1}, {"protocol": ["json"], "version": 1},
     {"protocol": "json"}, {"protocol": "json", "version": 3},
     {"protocol": "json", "version": True},
     {"protocol": "json", "version": "1"}],
)  # fmt: skip
def test_a_handshake_for_something_else_is_refused(request_):
    with pytest.raises(protocol.HandshakeRefused):
        protocol.read_handshake(json.dumps(request_).encode() + b"\x1e", 100)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_handshake_leaves_what_follows_it(version):
    request = b'{"protocol":"messagepack","version":%d}\x1e\x02\x91\x06' % version

    handshake, rest = protocol.read_handshake(request, 100)

    assert (handshake.protocol, handshake.version) == (MESSAGEPACK, version)
    assert MESSAGEPACK.split(rest, LIMIT) == ([b"\x91\x06"], b"")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(
        allow_nan=False, allow_infinity=False, min_value=-1e10, max_value=1e10, width=32
    ).filter(lambda number: not number or abs(number) > 1e-9)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(st.binary(max_size=300))
def test_bytes_raise_nothing_but_the_protocol_error(data):
    for spoken in (JSON, MESSAGEPACK):
        try:
            records, _ = spoken.split(data, 100)
        except ProtocolError:
            records = []
        for record in (data, *records):
            try:
                spoken.decode(record)
            except ProtocolError:
                continue
    try:
        protocol.read_handshake(data, 100)
    except ProtocolError:
        return


@given(st.one_of(values, st.lists(st.integers(0, 10) | values, min_size=1, max_size=7)))
def test_any_value_as_a_record_raises_nothing_but_the_protocol_error(value):
    for spoken, record in (
        (MESSAGEPACK, msgpack.packb(value)),
        (JSON, json.dumps(value).encode()),
    ):
        try:
            spoken.decode(record)
        except ProtocolError:
            continue


@given(st.lists(values, max_size=5))
def test_both_encodings_carry_the_same_values(arguments):
    message = Invocation("a", arguments, "1")

    for spoken in (JSON, MESSAGEPACK):
        (record,), rest = spoken.split(spoken.encode(message), 2**20)
        assert spoken.decode(record) == message
        assert rest == b""
