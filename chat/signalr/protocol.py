"""The SignalR hub protocols: records and their bytes, JSON and MessagePack. Pure functions.

Follows HubProtocol.md and TransportProtocols.md of ASP.NET Core. Whatever a peer sends, the only
error raised here is `ProtocolError`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any, Protocol

import msgpack
import orjson

from storeplatform.kernel import strict_json

RECORD_SEPARATOR = b"\x1e"
VERSIONS = (0, 1, 2)
STATEFUL_VERSION = 2
MAX_ID_LENGTH = 128
MAX_ARGUMENTS = 10
MAX_NUMBER = 2**63 - 1


class ProtocolError(Exception):
    """The peer broke the protocol; the message may be told to it."""


@dataclass(frozen=True, slots=True)
class Invocation:
    target: str
    arguments: list[Any]
    invocation_id: str | None = None
    stream_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamItem:
    invocation_id: str
    item: Any


@dataclass(frozen=True, slots=True)
class Completion:
    """The one answer to an invocation: an error, a result, or neither."""

    invocation_id: str
    error: str | None = None
    result: Any = None
    has_result: bool = False


@dataclass(frozen=True, slots=True)
class StreamInvocation:
    target: str
    arguments: list[Any]
    invocation_id: str
    stream_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelInvocation:
    invocation_id: str


@dataclass(frozen=True, slots=True)
class Ping:
    pass


@dataclass(frozen=True, slots=True)
class Close:
    error: str | None = None
    allow_reconnect: bool = False


@dataclass(frozen=True, slots=True)
class Ack:
    """Every trackable record up to this number has arrived."""

    sequence_id: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """The number of the next trackable record, said after a stateful reconnect."""

    sequence_id: int


Message = (
    Invocation
    | StreamItem
    | Completion
    | StreamInvocation
    | CancelInvocation
    | Ping
    | Close
    | Ack
    | Sequence
)
TRACKABLE = (Invocation, StreamItem, Completion, StreamInvocation, CancelInvocation)


# Reading a record


def invocation(fields: dict[str, Any]) -> Invocation:
    identifier = fields.get("invocationId")
    return Invocation(
        text(fields, "target"),
        arguments(fields),
        None if identifier is None else invocation_id(fields),
        stream_ids(fields),
    )


def stream_invocation(fields: dict[str, Any]) -> StreamInvocation:
    return StreamInvocation(
        text(fields, "target"), arguments(fields), invocation_id(fields), stream_ids(fields)
    )


def stream_item(fields: dict[str, Any]) -> StreamItem:
    return StreamItem(invocation_id(fields), fields.get("item"))


def completion(fields: dict[str, Any]) -> Completion:
    has_result, error = "result" in fields, optional_text(fields, "error")
    if has_result and error is not None:
        raise ProtocolError("A completion has a result or an error, not both.")
    return Completion(invocation_id(fields), error, fields.get("result"), has_result)


def cancel_invocation(fields: dict[str, Any]) -> CancelInvocation:
    return CancelInvocation(invocation_id(fields))


def ping(_: dict[str, Any]) -> Ping:
    return Ping()


def close(fields: dict[str, Any]) -> Close:
    return Close(optional_text(fields, "error"), fields.get("allowReconnect") is True)


def ack(fields: dict[str, Any]) -> Ack:
    return Ack(number(fields, "sequenceId"))


def sequence(fields: dict[str, Any]) -> Sequence:
    return Sequence(number(fields, "sequenceId"))


READERS: dict[int, Callable[[dict[str, Any]], Message]] = {
    1: invocation,
    2: stream_item,
    3: completion,
    4: stream_invocation,
    5: cancel_invocation,
    6: ping,
    7: close,
    8: ack,
    9: sequence,
}


def message_of(kind: Any, fields: dict[str, Any]) -> Message | None:
    """The message of these fields; None for a type of the future, which is to be ignored."""
    if type(kind) is not int:
        raise ProtocolError("A record has no message type.")
    read = READERS.get(kind)
    return read(fields) if read else None


def text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"'{name}' is not a string.")
    return value


def optional_text(fields: dict[str, Any], name: str) -> str | None:
    return None if fields.get(name) is None else text(fields, name)


def number(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise ProtocolError(f"'{name}' is not a number.")
    return value


def invocation_id(fields: dict[str, Any]) -> str:
    return identifier_of(fields.get("invocationId"))


def identifier_of(value: Any) -> str:
    """Some clients number their invocations."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH:
        raise ProtocolError("An invocation id is not a short string.")
    return value


def stream_ids(fields: dict[str, Any]) -> tuple[str, ...]:
    return tuple(identifier_of(value) for value in short_list(fields, "streamIds"))


def arguments(fields: dict[str, Any]) -> list[Any]:
    return short_list(fields, "arguments")


def short_list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_ARGUMENTS:
        raise ProtocolError(f"'{name}' is not a list of at most {MAX_ARGUMENTS}.")
    return value


# Values


def plain(value: Any) -> Any:
    """A payload as JSON primitives, the same in both encodings. Decimals become strings."""
    return orjson.loads(dumps(value))


def dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)


def with_floats(value: Any) -> Any:
    """What `strict_json` read, with floats for its Decimals."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: with_floats(item) for name, item in value.items()}
    return value


def check_value(value: Any, depth: int = 0) -> None:
    """Let pass only what JSON could have said as well."""
    if depth > strict_json.MAX_DEPTH:
        raise ProtocolError(f"A record is nested deeper than {strict_json.MAX_DEPTH}.")
    if isinstance(value, list):
        for item in value:
            check_value(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            check_value(name, depth)
            check_value(item, depth + 1)
    elif isinstance(value, str):
        if strict_json.FORBIDDEN.search(value):
            raise ProtocolError("A text holds a control character.")
    elif isinstance(value, float):
        if not isfinite(value):
            raise ProtocolError("A number is not finite.")
    elif not (value is None or isinstance(value, bool | int)):
        raise ProtocolError("A value has no equal in JSON.")


# The two encodings


class HubProtocol(Protocol):
    name: str
    is_binary: bool

    def split(self, data: bytes, limit: int) -> tuple[list[bytes], bytes]:
        """The complete records in `data`, none longer than `limit`, and what is left of it."""

    def decode(self, record: bytes) -> Message | None:
        """The message of a record; None when its type is unknown and it is to be ignored."""

    def encode(self, message: Message) -> bytes:
        """A framed record."""


class JSONProtocol:
    name = "json"
    is_binary = False

    def split(self, data: bytes, limit: int) -> tuple[list[bytes], bytes]:
        *records, rest = data.split(RECORD_SEPARATOR)
        if any(len(record) > limit for record in (*records, rest)):
            raise too_long(limit)
        return records, rest

    def decode(self, record: bytes) -> Message | None:
        try:
            fields = with_floats(strict_json.loads(record))
        except strict_json.MalformedJSON:
            raise ProtocolError("A record is not the JSON that is read here.") from None
        if not isinstance(fields, dict):
            raise ProtocolError("A record is not an object.")
        return message_of(fields.get("type"), fields)

    def encode(self, message: Message) -> bytes:
        return dumps(self.fields(message)) + RECORD_SEPARATOR

    def fields(self, message: Message) -> dict[str, Any]:
        match message:
            case Invocation(target, arguments, None):
                return {"type": 1, "target": target, "arguments": arguments}
            case Invocation(target, arguments, identifier):
                fields = {"type": 1, "invocationId": identifier, "target": target}
                return fields | {"arguments": arguments}
            case StreamItem(identifier, item):
                return {"type": 2, "invocationId": identifier, "item": item}
            case Completion(identifier, error, result, has_result):
                fields = {"type": 3, "invocationId": identifier}
                outcome = {"result": result} if has_result else {}
                return fields | ({"error": error} if error is not None else outcome)
            case StreamInvocation(target, arguments, identifier):
                fields = {"type": 4, "invocationId": identifier, "target": target}
                return fields | {"arguments": arguments}
            case CancelInvocation(identifier):
                return {"type": 5, "invocationId": identifier}
            case Ping():
                return {"type": 6}
            case Close(error, allow_reconnect):
                fields = {"type": 7} | ({"error": error} if error is not None else {})
                return fields | ({"allowReconnect": True} if allow_reconnect else {})
            case Ack(sequence_id):
                return {"type": 8, "sequenceId": sequence_id}
            case Sequence(sequence_id):
                return {"type": 9, "sequenceId": sequence_id}


class MessagePackProtocol:
    name = "messagepack"
    is_binary = True

    # What stands where in the array, behind the type.
    FIELDS: dict[int, tuple[str, ...]] = {
        1: ("headers", "invocationId", "target", "arguments", "streamIds"),
        2: ("headers", "invocationId", "item"),
        3: ("headers", "invocationId", "kind", "value"),
        4: ("headers", "invocationId", "target", "arguments", "streamIds"),
        5: ("headers", "invocationId"),
        6: (),
        7: ("error", "allowReconnect"),
        8: ("sequenceId",),
        9: ("sequenceId",),
    }
    ERROR, VOID, RESULT = 1, 2, 3
    OUTCOMES = {ERROR: "error", RESULT: "result"}
    LENGTH_BYTES = 5

    def split(self, data: bytes, limit: int) -> tuple[list[bytes], bytes]:
        records, at = [], 0
        while (header := self.read_length(data, at)) is not None:
            start, length = header
            if length > limit:
                raise too_long(limit)
            if start + length > len(data):
                break
            records.append(data[start : start + length])
            at = start + length
        return records, data[at:]

    def read_length(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Where the record begins and how long it is; None while its length is incomplete."""
        length = 0
        for place, byte in enumerate(data[at : at + self.LENGTH_BYTES]):
            length |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return at + place + 1, length
        if len(data) - at >= self.LENGTH_BYTES:
            raise ProtocolError("A record's length is malformed.")
        return None

    def decode(self, record: bytes) -> Message | None:
        try:
            values = msgpack.unpackb(record)
        except (ValueError, msgpack.UnpackException):
            raise ProtocolError("A record is not MessagePack.") from None
        if not isinstance(values, list) or not values:
            raise ProtocolError("A record is not an array.")
        check_value(values)
        kind, *rest = values
        names = self.FIELDS.get(kind, ()) if type(kind) is int else ()
        fields = dict(zip(names, rest, strict=False))
        told = fields.get("kind", self.VOID)
        if kind == 3 and type(told) is int and (outcome := self.OUTCOMES.get(told)):
            fields[outcome] = fields.get("value")
        return message_of(kind, fields)

    def encode(self, message: Message) -> bytes:
        record: bytes = msgpack.packb(self.values(message))
        return self.length_of(len(record)) + record

    def length_of(self, length: int) -> bytes:
        parts = bytearray()
        while length > 0x7F:
            parts.append(length & 0x7F | 0x80)
            length >>= 7
        parts.append(length)
        return bytes(parts)

    def values(self, message: Message) -> list[Any]:
        match message:
            case Invocation(target, arguments, identifier, streams):
                return [1, {}, identifier, target, plain(arguments), list(streams)]
            case StreamItem(identifier, item):
                return [2, {}, identifier, plain(item)]
            case Completion(identifier, error, result, has_result):
                if error is not None:
                    return [3, {}, identifier, self.ERROR, error]
                if has_result:
                    return [3, {}, identifier, self.RESULT, plain(result)]
                return [3, {}, identifier, self.VOID]
            case StreamInvocation(target, arguments, identifier, streams):
                return [4, {}, identifier, target, plain(arguments), list(streams)]
            case CancelInvocation(identifier):
                return [5, {}, identifier]
            case Ping():
                return [6]
            case Close(error, allow_reconnect):
                return [7, error, allow_reconnect]
            case Ack(sequence_id):
                return [8, sequence_id]
            case Sequence(sequence_id):
                return [9, sequence_id]


def too_long(limit: int) -> ProtocolError:
    return ProtocolError(f"A record is longer than {limit} bytes.")


JSON = JSONProtocol()
MESSAGEPACK = MessagePackProtocol()
PROTOCOLS: dict[str, HubProtocol] = {"json": JSON, "messagepack": MESSAGEPACK}


# The handshake, JSON in both protocols


@dataclass(frozen=True, slots=True)
class Handshake:
    protocol: HubProtocol
    version: int


class HandshakeRefused(ProtocolError):
    """The request is readable but asks for what we do not speak; the peer is told."""


ACCEPTED = b"{}" + RECORD_SEPARATOR


def refusal(error: str) -> bytes:
    return dumps({"error": error}) + RECORD_SEPARATOR


def read_handshake(data: bytes, limit: int) -> tuple[Handshake, bytes] | None:
    """The handshake and the bytes behind it; None while it is incomplete."""
    record, separator, rest = data.partition(RECORD_SEPARATOR)
    if len(record) > limit:
        raise too_long(limit)
    if not separator:
        return None
    try:
        fields = strict_json.loads(record)
    except strict_json.MalformedJSON:
        raise ProtocolError("The handshake is not JSON.") from None
    if not isinstance(fields, dict):
        raise ProtocolError("The handshake is not an object.")
    name, version = fields.get("protocol"), fields.get("version")
    protocol = PROTOCOLS.get(name) if isinstance(name, str) else None
    if protocol is None:
        raise HandshakeRefused("The protocol is not supported; use json or messagepack.")
    if type(version) is not int or version not in VERSIONS:
        raise HandshakeRefused("The protocol version is not supported.")
    return Handshake(protocol, version), rest
