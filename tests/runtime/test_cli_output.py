"""What commands print: harmless text, tables, JSON."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.ids import new_id
from flowgen.runtime.cli.output import escaped, has_colours, printable, say_json, short_id, shortened, table
from flowgen.runtime.cli.store_client import without_password


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_printed_text_steers_no_terminal(text: str) -> None:
    """Whatever it is, it becomes one printable line; printable text on one line stays as it is."""
    assert escaped(text).isprintable()
    assert printable(text).isprintable()
    assert len(shortened(text, 10)) <= 10
    if text.isprintable():
        assert escaped(text) == text


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for pipes, and not with NO_COLOR."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert has_colours(Terminal())
    assert not has_colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())


def test_the_last_column_is_cut_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script gets all of it."""
    rows = [["r1", "x" * 100]]
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert "x" * 100 in table(["RUN", "REASON"], rows)
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert table(["RUN", "REASON"], rows).splitlines() == ["RUN  REASON", f"r1   {'x' * 59}…"]


@pytest.mark.parametrize("encoding, shown", [("utf-8", "ü"), ("ascii", "\\u00fc")])
def test_json_is_json_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    """Readable where the output can show it, escaped where it cannot."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    say_json({"name": "ü"})
    assert shown in raw.getvalue().decode(encoding)
    assert json.loads(raw.getvalue().decode(encoding)) == {"name": "ü"}


def test_ids_are_shortened_to_the_end_that_differs() -> None:
    """Ids of one moment begin alike; an id that a user chose stays if it is short."""
    assert short_id(new_id(0, b"\xff" * 10)) == "ZZZZZZ"
    assert short_id("cart-7") == "cart-7"
    assert short_id("customer-4711-cart-7") == "…4711-cart-7"


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://ada:secret@host/db", "postgresql://ada:***@host/db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("sqlite:////var/a@b:c.db", "sqlite:////var/a@b:c.db"),
    ],
)
def test_a_password_in_a_store_url_is_not_shown(url: str, shown: str) -> None:
    """The rest of the URL is."""
    assert without_password(url) == shown
