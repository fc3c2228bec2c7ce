"""The tools by name: what each takes and gives, which scopes it needs, what it may break."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from integrations.mcp.principal import Principal
from integrations.mcp.schemas import TEXT, Input, Schema, input_schema, obj

Function = Callable[..., dict[str, Any]]
PENDING = obj(status={"const": "pending_approval"}, id=TEXT)


class Subject(NamedTuple):
    """What a call is about: the argument that tells, and how people know its values in a store."""

    kind: str
    argument: str
    names: Callable[[UUID, Sequence[str]], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """`prepare` runs before the transaction of a writing tool; what it answers is the third
    argument of `function`. A tool `alone` owns its transactions and reaches outside."""

    name: str
    title: str
    description: str
    scopes: tuple[str, ...]
    input: type[Input]
    output: Schema
    function: Function
    prepare: Callable[[Principal, Any], Any] | None = None
    writes: bool = False
    destructive: bool = False
    idempotent: bool = True
    open_world: bool = False
    alone: bool = False
    subject: Subject | None = None
    only_with_refunds: bool = False

    @property
    def input_schema(self) -> Schema:
        return input_schema(self.input)

    @property
    def output_schema(self) -> Schema:
        """A destructive call may be answered by the notice that a person decides first."""
        if not self.destructive:
            return self.output
        return {"type": "object", "anyOf": [self.output, PENDING]}

    def visible_to(self, principal: Principal) -> bool:
        """The list depends on the role, not on the token's scopes: they may still be raised."""
        if self.only_with_refunds and not principal.allow_refunds:
            return False
        return all(principal.role_gives(scope) for scope in self.scopes)


TOOLS: dict[str, Tool] = {}


def tool(
    title: str,
    description: str,
    *,
    scopes: str,
    output: Schema,
    input: type[Input] = Input,  # noqa: A002  # the protocol's word
    **hints: Any,
) -> Callable[[Function], Function]:
    """Registers a function as the tool of its name. `scopes` are words with blanks between."""

    def register(function: Function) -> Function:
        name = function.__name__
        TOOLS[name] = Tool(
            name, title, description, tuple(scopes.split()), input, output, function, **hints
        )
        return function

    return register
