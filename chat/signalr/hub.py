"""What an application writes: a class of methods that clients invoke.

class EchoHub(Hub):
    name = "echo"  # served at /hubs/echo

    @method("Echo")
    async def echo(self, text: str) -> str:
        return text
"""

import inspect
import re
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter

from chat.signalr.protocol import HubProtocol, Invocation

if TYPE_CHECKING:
    from chat.signalr.connection import Connection

F = TypeVar("F", bound=Callable[..., Any])


class HubError(Exception):
    """A refusal that the caller is told: a code for machines, a sentence for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Event:
    """Something clients are told, encoded once for each protocol however many hear it."""

    __slots__ = ("encoded", "invocation")

    def __init__(self, name: str, *arguments: Any) -> None:
        self.invocation = Invocation(name, list(arguments))
        self.encoded: dict[str, bytes] = {}

    def encode(self, protocol: HubProtocol) -> bytes:
        if protocol.name not in self.encoded:
            self.encoded[protocol.name] = protocol.encode(self.invocation)
        return self.encoded[protocol.name]


class Method:
    """A hub method under the name clients call. An async generator is a streaming method."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name, self.function = name, function
        self.is_streaming = inspect.isasyncgenfunction(function)
        signature = inspect.signature(function, eval_str=True)
        self.has_result = signature.return_annotation is not None
        _, *parameters = signature.parameters.values()
        self.count = len(parameters)
        self.defaults = [p.default for p in parameters if p.default is not p.empty]
        types: Any = tuple.__class_getitem__(tuple(p.annotation for p in parameters))
        self.types: TypeAdapter[Any] = TypeAdapter(types, config=ConfigDict(strict=True))

    def arguments(self, given: list[Any]) -> tuple[Any, ...]:
        """The arguments as the signature types them, strictly: 1 is no string, true is no number.
        Raises ValueError."""
        missing = self.count - len(given)
        if 0 < missing <= len(self.defaults):
            given = given + self.defaults[-missing:]
        checked: tuple[Any, ...] = self.types.validate_python(tuple(given))
        return checked


def method(name: str) -> Callable[[F], F]:
    """Let clients invoke the decorated coroutine function, or stream the decorated async generator
    function, under this name. Every parameter needs a type that pydantic knows."""

    def mark(function: F) -> F:
        function.hub_method_name = name  # type: ignore[attr-defined]
        return function

    return mark


class Hub:
    """One instance serves one connection; what it keeps in `self` lasts as long as that.

    Invocations of one connection run one at a time, in order; streams run beside them. A method
    raises HubError to refuse. Any other exception is logged, and the client learns nothing of it.
    """

    name: ClassVar[str]
    join_seconds: ClassVar[float | None] = None  # close what has not set connection.joined by then
    forbidden: ClassVar[re.Pattern[bytes] | None] = None  # what no frame or address may hold
    methods: ClassVar[dict[str, Method]] = {}

    def __init_subclass__(cls) -> None:
        functions: list[Any] = [getattr(cls, attribute, None) for attribute in dir(cls)]
        cls.methods = {
            function.hub_method_name: Method(function.hub_method_name, function)
            for function in functions
            if hasattr(function, "hub_method_name")
        }

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection

    async def connected(self) -> None:
        """Runs before the first invocation."""

    async def disconnected(self) -> None:
        """Runs once when the connection is over, if `connected` has run."""

    @classmethod
    async def check_credential(cls, credential: str) -> bool:
        """Whether a bearer or `access_token` may negotiate and connect; no credential always may.
        It is only looked at here: a method decides what it is good for."""
        return True

    @classmethod
    async def allows_origin(cls, origin: str) -> bool:
        """Whether pages of an origin that the settings do not list may connect."""
        return False

    @classmethod
    async def exposed(cls, held: bytes, address: str) -> None:
        """A frame or an address that came from here held something `forbidden`."""

    @classmethod
    async def heard(cls, group: str, message: Any, members: "Collection[Connection]") -> None:
        """A message of `publish` has come to this process, whose connections in the group are
        `members`. Messages of one group come one after the other, in order. None: some may have
        been missed while the broker was away."""
        if message is not None:
            event = Event(message["event"], *message["arguments"])
            for connection in members:
                connection.send_event(event)
