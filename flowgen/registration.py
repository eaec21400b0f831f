"""Workflow definitions as JSON: what a registration carries and a store keeps without reading it."""

from __future__ import annotations

from .outcome import Json
from .wire import Form, Mirrors
from .workflow import Definition

_definition: Form[Definition] = Form(Mirrors({}, {}), Definition, "a workflow's definition")


def encode_definition(definition: Definition) -> Json:
    """The JSON of a workflow's definition: its id and its triggers, without code."""
    return Json(_definition.encode(definition))


def decode_definition(data: bytes) -> Definition:
    """The definition that `encode_definition` wrote; `UndecodableError` says what does not fit."""
    return _definition.decode(data)
