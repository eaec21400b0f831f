"""A small part of GraphQL: enough for the few fixed questions that tools ask.

Queries are parsed by graphql-core, which knows the language whole: aliases, variables, fragments, block strings. They
are not executed by it. There are four fields to ask for, each with one argument; types of variables are not looked at,
because tools write different ones for the same (`ID!`, `String!`, `ULID!`). So what is left is to find the arguments,
and to pick from a document what was asked for.

Refuses to know what the fields mean (`graph`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

import attrs
from graphql.error import GraphQLSyntaxError
from graphql.language import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    FloatValueNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    ValueNode,
    VariableNode,
    parse,
)

LONGEST: Final = 10_000
"""Characters that a query may have."""

_DEEPEST: Final = 50
"""Brackets of any kind that a query may open: its parser calls itself for each level."""

_MOST_FIELDS: Final = 500
_MOST_ASKED: Final = 20
"""Fields at the top of a query: each is read from the store, whole."""

MOST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of an answer, about: the same text may be asked for under any number of names."""

_EACH: Final = 32
"""Bytes of a value beside its text."""

Resolver = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""The document for a field, from its arguments, whose names are in lower case."""


class QueryError(Exception):
    """A query that is no GraphQL, or asks for what there is not."""


@attrs.define
class _Query:
    variables: Mapping[str, Any]
    fragments: Mapping[str, FragmentDefinitionNode]
    fields: int = 0
    bytes: int = 0
    _known: dict[int, list[FieldNode]] = attrs.Factory(dict)

    def selected(self, selections: SelectionSetNode) -> list[FieldNode]:
        """The fields of a selection, those of its fragments included. They count once, however many have them."""
        known = self._known.get(id(selections))
        if known is None:
            known = self._known[id(selections)] = list(self._found(selections, ()))
        return known

    def _found(self, selections: SelectionSetNode, within: tuple[str, ...]) -> Iterable[FieldNode]:
        for selection in selections.selections:
            match selection:
                case FieldNode():
                    self.fields += 1
                    if self.fields > _MOST_FIELDS:
                        raise QueryError(f"the query asks for more than {_MOST_FIELDS} fields")
                    yield selection
                case InlineFragmentNode(selection_set=inside):
                    yield from self._found(inside, within)
                case FragmentSpreadNode(name=name):
                    if name.value not in self.fragments or name.value in within:
                        raise QueryError(f"there is no fragment {name.value!r:.100}, or it is inside of itself")
                    yield from self._found(self.fragments[name.value].selection_set, (*within, name.value))

    def picked(self, value: Any, selections: SelectionSetNode | None, path: str) -> Any:
        """What a selection picks from a value."""
        if selections is None or value is None:
            self._weigh(value)
            return value
        if isinstance(value, list):
            return [self.picked(item, selections, path) for item in value]
        if not isinstance(value, dict):
            raise QueryError(f"{path} has no fields")
        answer = {}
        for field in self.selected(selections):
            name = field.name.value
            if name not in value:
                raise QueryError(f"{path} has no field {name!r:.100}: it has {', '.join(value)}")
            answer[_key(field)] = self.picked(value[name], field.selection_set, f"{path}.{name}")
        return answer

    def _weigh(self, value: Any) -> None:
        """Count what is answered; raises `QueryError` if it is too much."""
        for each in value if isinstance(value, list) else [value]:
            self.bytes += _EACH + (len(each) if isinstance(each, str) else 0)
        if self.bytes > MOST_BYTES:
            raise QueryError(f"the answer would have more than {MOST_BYTES:,} bytes: ask for less at a time")

    def value(self, node: ValueNode) -> Any:
        """The value of an argument."""
        match node:
            case VariableNode(name=name):
                return self.variables.get(name.value)
            case ObjectValueNode(fields=fields):
                return {field.name.value.lower(): self.value(field.value) for field in fields}
            case ListValueNode(values=values):
                return [self.value(each) for each in values]
            case NullValueNode():
                return None
            case StringValueNode(value=value) | BooleanValueNode(value=value) | EnumValueNode(value=value):
                return value
            case IntValueNode(value=value) | FloatValueNode(value=value):
                return value
        raise QueryError(f"{type(node).__name__} is no value")


async def execute(
    text: str, variables: Mapping[str, Any], operation: str | None, resolvers: Mapping[str, Resolver]
) -> dict[str, Any]:
    """The answer to a query: for each field at its top what its resolver gives, less what was not asked for.

    Raises `QueryError` for a query that cannot be answered, and what a resolver raises.
    """
    query, chosen = _parsed(text, variables, operation)
    answer = {}
    asked = query.selected(chosen.selection_set)
    if len(asked) > _MOST_ASKED:
        raise QueryError(f"the query asks {len(asked)} questions; at most {_MOST_ASKED} are answered at a time")
    for field in asked:
        name = field.name.value
        if name not in resolvers:
            raise QueryError(f"there is no field {name!r:.100}: ask for {', '.join(resolvers)}")
        arguments = {each.name.value.lower(): query.value(each.value) for each in field.arguments or ()}
        answer[_key(field)] = query.picked(await resolvers[name](arguments), field.selection_set, name)
    return answer


def _parsed(text: str, variables: Mapping[str, Any], operation: str | None) -> tuple[_Query, OperationDefinitionNode]:
    if len(text) > LONGEST or sum(text.count(bracket) for bracket in "{[(") > _DEEPEST:
        raise QueryError(f"the query is too large: at most {LONGEST:,} characters and {_DEEPEST} brackets")
    try:
        definitions = parse(text, no_location=True).definitions
    except GraphQLSyntaxError as error:
        raise QueryError(error.message) from None
    named = {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)}
    operations = [
        each
        for each in definitions
        if isinstance(each, OperationDefinitionNode) and (operation is None or _name(each) == operation)
    ]
    if len(operations) != 1 or operations[0].operation is not OperationType.QUERY:
        raise QueryError("say one query, and which one if there are several (operationName)")
    return _Query(variables, named), operations[0]


def _name(operation: OperationDefinitionNode) -> str | None:
    return None if operation.name is None else operation.name.value


def _key(field: FieldNode) -> str:
    """What a field is called in the answer."""
    return field.alias.value if field.alias is not None else field.name.value
