"""The reference page of the command line is about the commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from flowgen.runtime.cli.narrator import tell
from flowgen.runtime.cli.program import flowgen as program

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\$ flowgen (.*)$", TEXT, re.MULTILINE)


def commands(group: click.Group, path: str = "flowgen") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_example_is_a_command_with_those_options(example: str) -> None:
    """What a reader types is understood."""
    command: click.Command = program
    words = shlex.split(example)
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("flowgen", words)


def test_each_command_and_option_is_on_the_page() -> None:
    """A new one cannot be forgotten."""
    for path, command in commands(program):
        for word in path.split()[1:]:
            assert re.search(rf"\b{word}\b", TEXT), path
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert any(name in TEXT for name in option.opts), (path, option.opts)


def test_each_verb_of_the_feed_is_on_the_page() -> None:
    """The words that `dev` prints are those of the table."""
    verbs = {
        word for line in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE) for word in re.findall(r"`([^`]+)`", line)
    }
    source = Path(tell.__code__.co_filename).read_text(encoding="utf-8")
    said = set(re.findall(r'return "([a-z ]+)",', source)) | set(re.findall(r'Line\([^,]+, "([a-z ]+)"', source))
    assert len(said) > 15
    assert said <= verbs, said - verbs
