"""What the source of flowgen may not have: each rule looks at every file, and each exception is listed with its reason.

Rows Signing scheme, Deserialization, SQL injection and XSS of the security table.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "flowgen"
SOURCES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}

Found = Iterator[tuple[int, str]]

# -- what a rule finds -----------------------------------------------------------------------------

_UNSAFE_MODULES = re.compile(
    r"^(pickle|cPickle|marshal|shelve|dill|cloudpickle|jsonpickle|yaml|ruamel|telnetlib|ftplib)\b"
)
_IMPORTERS = re.compile(r"^(importlib|imp|runpy|pkgutil|zipimport)\b(?!\.(metadata|resources))")
_SHELLS = re.compile(r"^(os\.(system|popen|exec\w*|spawn\w*)|subprocess\.\w+|pty\.\w+)$")
_SECRET = re.compile(r"(^|_)(tokens?|secrets?|passwords?|macs?|signatures?|proofs?|(auth|event|signing)_keys?)$")
_CLIENTS = re.compile(r"^(urllib\.request|http\.client|httpx|requests|aiohttp|websockets|smtplib)\b")


def imports(tree: ast.AST) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def unsafe_modules(tree: ast.AST) -> Found:
    """Modules that make code of data."""
    return ((line, name) for line, name in imports(tree) if _UNSAFE_MODULES.match(name))


def importers(tree: ast.AST) -> Found:
    """Whatever can import by a name."""
    yield from ((line, name) for line, name in imports(tree) if _IMPORTERS.match(name))
    yield from ((line, name) for line, name in calls(tree) if name == "__import__")


def clients(tree: ast.AST) -> Found:
    """Whatever calls an address."""
    return ((line, name) for line, name in imports(tree) if _CLIENTS.match(name))


def calls(tree: ast.AST) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node.lineno, ast.unparse(node.func)


def evaluations(tree: ast.AST) -> Found:
    """Python that is made at run time."""
    return ((line, name) for line, name in calls(tree) if name in ("eval", "exec", "compile", "builtins.eval"))


def shells(tree: ast.AST) -> Found:
    """Other programs; a shell is never asked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            yield node.value.lineno, "shell="
    yield from ((line, name) for line, name in calls(tree) if _SHELLS.match(name))


def compared_secrets(tree: ast.AST) -> Found:
    """Secrets that `==` or `in` compares: how long that takes says how much of one is right."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        for operator, right in zip(node.ops, node.comparators, strict=True):
            sides = [side for side in (node.left, right) if not isinstance(side, ast.Constant)]
            if isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                for side in sides:
                    name = ast.unparse(side)
                    if isinstance(side, ast.Name | ast.Attribute) and _SECRET.search(name.rpartition(".")[2]):
                        yield node.lineno, ast.unparse(node)


def built_sql(tree: ast.AST) -> Found:
    """Statements that are put together where they are executed, and not from constants of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".execute", ".executemany")) and node.args:
            made = node.args[0]
            if (
                isinstance(made, ast.JoinedStr)
                or (isinstance(made, ast.BinOp) and not _is_constant(made))
                or (isinstance(made, ast.Call) and ast.unparse(made.func).endswith((".format", ".join", ".replace")))
            ):
                yield node.lineno, ast.unparse(made)[:80]


def _is_constant(made: ast.expr) -> bool:
    """Whether a text is put together of constants only, which are in capitals."""
    if isinstance(made, ast.BinOp):
        return _is_constant(made.left) and _is_constant(made.right)
    return isinstance(made, ast.Constant) or (isinstance(made, ast.Name) and made.id.isupper())


ALLOWED: dict[str, dict[str, str]] = {
    "unsafe_modules": {},
    "importers": {
        "runtime/__init__.py": "its own modules, from a table in the file",
        "runtime/http/__init__.py": "its own modules, from a table in the file",
        "runtime/cli/target.py": "the app that the command line names",
        "testing/__init__.py": "its own modules, from a table in the file",
    },
    "clients": {
        "runtime/remote/": "the client library: it calls the server that its caller names",
        "runtime/serving/": "an app that is served calls the server that its settings name, and no other",
        "runtime/cli/place.py": "whether a server answers at the usual address of this machine",
    },
    "evaluations": {"wire.py": "the copy function of each kind of record, from the names of its fields"},
    "shells": {},
    "compared_secrets": {},
    "built_sql": {"runtime/stores/sqlite/counting.py": "clauses of the module, and a number that is one of its own"},
}
RULES = (unsafe_modules, importers, clients, evaluations, shells, compared_secrets, built_sql)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_nothing_is_found_but_what_is_allowed(rule: Callable[[ast.AST], Found]) -> None:
    """And each exception is needed: a list of them must not grow old."""
    allowed = ALLOWED[rule.__name__]
    used, found = set(), []
    for file, tree in SOURCES.items():
        for line, what in rule(tree):
            reasons = {each for each in allowed if file == each or (each.endswith("/") and file.startswith(each))}
            used |= reasons
            found += [] if reasons else [f"flowgen/{file}:{line}: {what}"]
    assert found == []
    assert used == set(allowed)


@pytest.mark.parametrize(
    "rule, text",
    [
        (unsafe_modules, "import pickle"),
        (unsafe_modules, "from yaml import load"),
        (importers, "import importlib"),
        (importers, "from importlib.util import find_spec"),
        (importers, "__import__(name)"),
        (clients, "from urllib.request import urlopen"),
        (evaluations, "eval(text)"),
        (evaluations, "exec(text, {})"),
        (shells, "os.system(text)"),
        (shells, "run(text, shell=True)"),
        (compared_secrets, "given == settings.auth_token"),
        (compared_secrets, "token in settings.auth_tokens"),
        (compared_secrets, "if mac != made: pass"),
        (built_sql, "cursor.execute(f'select {name}')"),
        (built_sql, "cursor.execute('select ' + name)"),
        (built_sql, "cursor.execute('select {}'.format(name))"),
        (built_sql, "cursor.execute(RUN + name, ())"),
    ],
)
def test_each_rule_finds_what_it_is_for(rule: Callable[[ast.AST], Found], text: str) -> None:
    """A rule that finds nothing anywhere would pass, too."""
    assert list(rule(ast.parse(text)))


def test_no_rule_finds_what_is_harmless() -> None:
    """Resources are read by name, statements made of constants, kinds of keys compared."""
    text = """
from importlib.resources import files
cursor.execute(RUN + "where id = ?", (id,))
if kind == "token" or tokens is None: pass
hmac.compare_digest(token, other)
"""
    assert [found for rule in RULES for found in rule(ast.parse(text))] == []


# -- pages -----------------------------------------------------------------------------------------

PAGES = sorted((ROOT / "runtime" / "http" / "ui").rglob("*.html"))
SCRIPTS = sorted((ROOT / "runtime" / "http" / "ui").rglob("*.js"))

_IN_PAGES = re.compile(
    r"\|\s*safe\b|autoescape\s+false|<script(?![^>]*\bsrc=)|<style|\bstyle\s*=|\son[a-z]+\s*=|javascript:|<iframe|<object|<embed|"
    r"<base|http-equiv|(?:src|href|action)=\"https?:|target=\"_blank\"",
    re.IGNORECASE,
)
_IN_SCRIPTS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setTimeout\(\s*[\"'`]|"
    r"createContextualFragment|localStorage|sessionStorage|document\.cookie|postMessage|https?://(?!www\.w3\.org)"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_has_a_script_a_style_or_a_text_as_it_is(page: Path) -> None:
    """All is escaped; nothing comes from elsewhere. What the policy would forbid is not there."""
    assert [line for line in page.read_text("utf-8").splitlines() if _IN_PAGES.search(line)] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_of_text(script: Path) -> None:
    """Nor code; nor does it keep or read a token. What it parses is a page of the server, where all is escaped."""
    assert [line for line in script.read_text("utf-8").splitlines() if _IN_SCRIPTS.search(line)] == []


def test_there_are_pages_and_scripts() -> None:
    """So that the rules above have something to look at, and find it."""
    assert len(PAGES) > 5
    assert SCRIPTS
    for text in ("{{ x|safe }}", "<script>1</script>", '<p onclick="x">', '<p style="x">', '<a href="javascript:x">'):
        assert _IN_PAGES.search(text), text
    assert not _IN_PAGES.search('<script type="module" src="/static/flowgen.js"></script>')
