"""TARGET: how the command line finds a user's app, and what it says when it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowgen.runtime.cli.faults import BAD_INPUT, Fault
from flowgen.runtime.cli.target import load_app

GOOD = """
from flowgen import App, Sleep

app = App("shop")

@app.workflow
def wait(ctx):
    yield Sleep("a moment", "1s")
"""


@pytest.fixture(autouse=True)
def own_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a target adds to the path and to the modules is gone after the test; it runs in an empty directory."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(name: str, text: str) -> None:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("target", ["orders:app", "orders", "orders.py:app", "orders.py", "./orders.py"])
def test_an_app_is_found_by_module_or_file(target: str) -> None:
    """The attribute may be left out where there is one App."""
    write("orders.py", GOOD)
    assert load_app(target).name == "shop"


def test_an_app_in_a_package_finds_its_neighbours() -> None:
    """A file inside a package is imported under its full name, from wherever one stands."""
    write("code/acme/__init__.py", "")
    write("code/acme/names.py", "NAME = 'shop'")
    write("code/acme/orders.py", "from .names import NAME\n" + GOOD.replace('"shop"', "NAME"))
    app = load_app("code/acme/orders.py")
    assert app.name == "shop"
    assert app.workflows["wait"].fn.__module__ == "acme.orders"


def test_a_file_finds_its_neighbours_and_may_have_any_name() -> None:
    """Its directory is on the path; a name that no import statement could say is no obstacle."""
    write("code/my-orders.v2.py", "from neighbour import NAME\n" + GOOD)
    write("code/neighbour.py", "NAME = 1")
    app = load_app("code/my-orders.v2.py:app")
    assert sys.modules[app.workflows["wait"].fn.__module__].__file__ == str(Path("code/my-orders.v2.py").resolve())


def test_one_app_under_two_names_is_one_app() -> None:
    """An alias leaves nothing to choose."""
    write("orders.py", GOOD + "\napplication = app\n")
    assert load_app("orders.py").name == "shop"


def test_what_a_target_prints_is_kept_out_of_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints of an import go to standard error."""
    write("orders.py", GOOD + "\nprint('hello')\n")
    load_app("orders.py")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    "text, target, message",
    [
        (None, "orders", "there is no module 'orders' here"),
        (None, "orders:app", "there is no module 'orders' here"),
        (None, "code.orders:app", "there is no module 'code"),
        (None, "orders.py", "there is no file orders.py here"),
        (None, "./orders", "there is no file ./orders here"),
        (None, ".", "'.' is no name of a module"),
        (None, "./", "./ is a directory"),
        (None, "", "it is incomplete; say module:app or path/to/file.py:app"),
        (None, ":app", "it is incomplete"),
        (GOOD, "orders.py:", "it is incomplete"),
        (GOOD, "orders.py:ap", "orders has no 'ap'; it has this app: app"),
        (GOOD, "orders:wait", "'wait' is of type Workflow, not an App; it has this app: app"),
        ("x = 1", "orders.py", 'orders has no App; make one with app = App("name")'),
        ("from flowgen import App\na = App('a')\nb = App('b')", "orders", "it has these apps: a, b; name one"),
        ("from flowgen import App\na = App('a')", "orders", "App('a') has no workflows; put @app.workflow on"),
        ("x = 1\n1 / 0", "orders", "it cannot be imported: ZeroDivisionError: division by zero (orders.py:2)"),
        ("import json\njson.loads('{')", "orders.py", "line 1 column 2 (char 1) (orders.py:2)"),
        ("def f(:\n", "orders", "SyntaxError: invalid syntax (orders.py:1)"),
        ("\nimport no_such_thing", "orders", "ModuleNotFoundError: No module named 'no_such_thing' (orders.py:2)"),
        ("import sys\nsys.exit(3)", "orders.py", "it calls exit(3) while it is imported (orders.py:2)"),
        ("raise BaseException('x')", "orders", "BaseException: x (orders.py:1)"),
        (GOOD + "@app.workflow\ndef bad(ctx):\n    return 1", "orders", "it is a plain function, without a yield"),
    ],
)
def test_a_bad_target_is_told_in_a_line(text: str | None, target: str, message: str) -> None:
    """Bad input, with what is wrong and where in the user's code."""
    if text is not None:
        write("orders.py", text)
    with pytest.raises(Fault) as caught:
        load_app(target)
    assert caught.value.exit_code == BAD_INPUT
    assert f"TARGET {target}: " in caught.value.message
    assert message in caught.value.message


def test_a_file_never_stands_in_for_another_module() -> None:
    """A file that is called like a module in use is refused, because importing it would break others."""
    write("trio.py", GOOD)
    with pytest.raises(Fault, match="its name is that of the module 'trio', which is in use; rename the file"):
        load_app("trio.py")


def test_a_target_that_failed_leaves_no_half_made_module() -> None:
    """The next import of that name starts afresh."""
    write("orders.py", "raise ValueError")
    with pytest.raises(Fault):
        load_app("orders.py")
    assert "orders" not in sys.modules


def test_ctrl_c_while_a_target_is_imported_is_no_fault_of_the_target() -> None:
    """It passes through."""
    write("orders.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_app("orders.py")
