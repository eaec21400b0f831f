"""The linter: for each rule code that it refuses, and code so near to it that must be accepted."""

from __future__ import annotations

import ast
import importlib
from textwrap import dedent, indent

import pytest

from flowgen.lint import CODES, Entry, Finding, Source, lint
from flowgen.runtime.cli.lint import _entries, _Sources
from tests.docs.pages import PAGES, ROOT, blocks, page_name

HEADER = """\
import asyncio, contextlib, datetime as dt, itertools, logging, os, pathlib, random, secrets, subprocess, time, uuid
import requests
from contextlib import suppress
from datetime import date, datetime
from functools import partial
from os import environ
from pathlib import Path
from time import time as seconds
from flowgen import *
import flowgen

log = logging.getLogger(__name__)
now = datetime.now
CACHE = {}
SEEN = []
COUNTER = itertools.count()
NAMES = {"a", "b"}
LIMIT = 5

def step(*args): time.sleep(1); return datetime.now()
def sub(ctx, *args):
    yield Run(step)
def helper(x): return x
def clocked(): return datetime.now()
@contextlib.contextmanager
def managed(): yield

@app.workflow
"""


def found(*sources: Source, name: str = "body") -> list[Finding]:
    modules = {source.module: source for source in sources}
    entries = []
    for source in sources:
        for node in ast.walk(ast.parse(source.text)):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                entries.append(Entry(source.module, name, min([node.lineno, *[d.lineno for d in node.decorator_list]])))
    assert entries
    return lint(entries, modules.get)


def codes(body: str) -> list[str]:
    """The codes for a workflow with this body."""
    text = HEADER + "def body(ctx):\n" + indent(dedent(body).strip(), "    ") + "\n    yield Sleep('end', 1)\n"
    return [finding.code for finding in found(Source("shop", "shop.py", text))]


REFUSED = {
    "clock": [
        "t = time.time()",
        "t = seconds()",
        "t = datetime.now()",
        "t = dt.datetime.utcnow()",
        "t = date.today()",
        "t = now()",
        "t = time.strftime('%Y')",
        "local = datetime.now; t = local()",
        "import time as clock; t = clock.monotonic()",
        "yield Run('x', step, datetime.now())",
        "yield Sleep('x', 60 if datetime.now().hour < 12 else 1)",
        "x = [datetime.now() for _ in range(2)]",
        "x = clocked()",
        "yield Run('x', partial(step, time.time()))",
    ],
    "randomness": [
        "x = random.random()",
        "x = random.Random()",
        "from random import choice; x = choice([1, 2])",
        "x = uuid.uuid4()",
        "x = secrets.token_hex()",
        "x = os.urandom(4)",
        "x = hash('a')",
        "x = id(ctx)",
    ],
    "io": [
        "x = open('f').read()",
        "print('hello')",
        "x = os.environ['HOME']",
        "x = environ.get('HOME')",
        "x = os.getenv('HOME')",
        "x = os.listdir()",
        "x = requests.get('https://example.org')",
        "subprocess.run(['ls'])",
        "x = Path('f').exists()",
        "x = LIMIT.read_text()",
        "log.info('again and again')",
        "logging.warning('again')",
        "time.sleep(1)",
        "asyncio.run(LIMIT)",
        "x = input()",
    ],
    "set-order": [
        "for x in {1, 2}: yield Run('a', step, x)",
        "for x in set(ctx.event.data): yield Run('a', step, x)",
        "for x in NAMES: yield Run('a', step, x)",
        "names = {1} | {2}\nfor x in names: yield Run('a', step, x)",
        "yield All(*[Run(n, step) for n in NAMES])",
        "yield All(*{1, 2})",
        "yield Run('a', step, list(NAMES))",
        "x = ','.join(NAMES)",
        "x = NAMES.union(['c']).pop()",
        "x = next(iter(NAMES))",
        "by = {n: 1 for n in NAMES}\nfor x in by.keys(): yield Run('a', step, x)",
        "by = dict.fromkeys(NAMES)\nfor x in by.values(): yield Run('a', step, x)",
        "a, b = {1, 2}",
    ],
    "not-yielded": [
        "Run('a', step)",
        "Run('a', step).options(retries=1)",
        "flowgen.Sleep('a', 1)",
        "sub(ctx)",
        "yield sub(ctx)",
        "x = yield sub(ctx)",
        "x = Run('a', step)",
        "x = sub(ctx)",
        "return Run('a', step)",
        "return sub(ctx)",
        "saga = Saga()\nsaga.do(Run('a', step), undo=Run('b', step))",
        "saga = Saga()\nyield saga.compensate()",
        "if WaitFor('a', 'b/c', timeout=1): yield Run('a', step)",
        "x = 1 if not Run('a', step) else 2",
        "while sub(ctx) == 1: yield Run('a', step)",
        "ok = WaitFor('a', 'b/c', timeout=1)\nif ok is None: yield Run('a', step)",
        "ok = WaitFor('a', 'b/c', timeout=1)\nif not ok: yield Run('a', step)",
    ],
    "swallowed-cancel": [
        "try:\n    yield Run('a', step)\nexcept:\n    pass",
        "try:\n    yield Run('a', step)\nexcept BaseException:\n    yield Run('b', step)",
        "try:\n    yield Run('a', step)\nexcept (ValueError, RunCancelled):\n    pass",
        "try:\n    yield from sub(ctx)\nexcept BaseException as error:\n    x = error",
        "with suppress(BaseException):\n    yield Run('a', step)",
    ],
    "shared-state": [
        "SEEN.append(1)",
        "CACHE['a'] = 1",
        "CACHE.setdefault('a', []).append(1)",
        "del CACHE['a']",
        "CACHE['a'] += 1",
        "global LIMIT\nLIMIT = 6",
        "global LIMIT\nLIMIT += 1",
        "x = next(COUNTER)",
        "def inner():\n    SEEN.append(1)\ninner()",
    ],
    "loop-variable": [
        "for x in [1, 2]:\n    yield Run('a', lambda: step(x))",
        "yield All(*[Run('a', lambda: step(x)) for x in [1, 2]])",
        "for x in [1, 2]:\n    y = x + 1\n    yield Run('a', lambda: step(y))",
        "n = 0\nwhile n < 3:\n    n = n + 1\n    yield Run('a', lambda: step(n))",
    ],
    "unstable-id": [
        "yield Run(f'a {time.time()}', step)",
        "yield Run('a {}'.format(uuid.uuid4()), step)",
        "yield Run('a ' + str(datetime.now()), step)",
        "yield Run(f'a {hash(ctx)}', step)",
        "yield Run(f'a {id(ctx)}', step)",
        "yield Run(f'a {NAMES}', step)",
        "yield Run(f'a {step}', step)",
        "yield Sleep(f'a {random.random()}', 1)",
        "yield Run('a', step).options(id=f'{uuid.uuid4()}')",
        "yield WaitFor(f'a {date.today()}', 'x/y', timeout=1)",
    ],
    "yield-in-finally": [
        "try:\n    yield Run('a', step)\nfinally:\n    yield Run('b', step)",
        "try:\n    yield Run('a', step)\nfinally:\n    if LIMIT:\n        yield from sub(ctx)",
    ],
    "effect-in-finally": [
        "try:\n    yield Run('a', step)\nfinally:\n    helper(1)",
        "with helper(1):\n    yield Run('a', step)",
    ],
    "ignore": ["x = 1  # flowgen: ignore[clok]"],
}

ACCEPTED = [
    # asked, and yielded all the same; or asked of what came back
    "x = Run('a', step)\nif ctx.event.data: x = Sleep('a', 1)\nif x is not None: yield x",
    "x = ctx.event.data.get('x') or Run('a', step)\nyield x",
    "if (yield WaitFor('a', 'b/c', timeout=1)) is None: yield Run('a', step)",
    "ok = yield WaitFor('a', 'b/c', timeout=1)\nif ok is None: yield Run('a', step)",
    # the run's own clock, dice and log
    "t = ctx.now; x = ctx.random.random(); u = ctx.uuid(); ctx.logger.info('once')",
    "random = ctx.random\nx = random.random()",
    "x = random.Random(7).random()",
    "import numpy as np; x = np.random.default_rng(7).random(); y = secrets.compare_digest('a', 'b')",
    "t = time.strftime('%Y', ctx.now.timetuple()); u = time.gmtime(0)",
    "t = datetime.fromisoformat('2026-01-01'); u = datetime(2026, 1, 1); v = dt.timedelta(days=1)",
    "time = ctx.event.data\nt = time.time()",
    "x = uuid.uuid5(uuid.NAMESPACE_URL, 'a')",
    # what steps do is their own business
    "yield Run('a', step)",
    "yield Run('a', lambda: open('f').read())",
    "yield Run('now', time.time)",
    "yield Run(clocked)",
    "def inner():\n    return time.time()\nyield Run('a', inner)",
    "x = yield from Run('a', partial(step, 1))",
    # nothing outside
    "x = os.path.join('a', 'b'); p = Path('a') / 'b'; n = p.name",
    "print = ctx.logger.info\nprint('x')",
    # sets that nobody looks at in order
    "for x in sorted(NAMES): yield Run('a', step, x)",
    "x = sum(len(n) for n in NAMES); y = 'a' in NAMES; z = {n.upper() for n in NAMES}; m = max(NAMES)",
    "names = {1, 2}\nnames.add(3)\nx = len(names)",
    "names = [1]\nfor x in names: yield Run('a', step, x)",
    "by = {'a': 1}\nfor x in by: yield Run('a', step, x)",
    "names = set() if ctx else []\nnames = []\nfor x in names: yield Run('a', step, x)",
    # commands that somebody yields
    "a = Run('a', step)\nyield a",
    "branches = [sub(ctx), Run('a', step)]\nyield All(*branches)",
    "yield Race(a=sub(ctx), b=Sleep('b', 1))",
    "yield from sub(ctx)",
    "x = yield from saga_of(ctx)",
    "saga = Saga()\nyield from saga.do(Run('a', step), undo=Run('b', step))",
    "return (yield from sub(ctx))",
    "return Restart({})",
    "x = managed()",
    "yield Restart({})",
    # cancellation that goes on
    "try:\n    yield Run('a', step)\nexcept Exception:\n    pass",
    "try:\n    yield Run('a', step)\nexcept RunCancelled:\n    yield Run('b', step)\n    raise",
    "try:\n    yield Run('a', step)\nexcept RunCancelled:\n    raise\nexcept:\n    pass",
    "try:\n    yield Run('a', step)\nexcept RunCancelled:\n    yield Run('b', step)\n    return None",
    "try:\n    x = int('a')\nexcept:\n    x = 0",
    "with suppress(StepError):\n    yield Run('a', step)",
    # state of the run itself
    "seen = []\nseen.append(1); seen += [2]; cache = {}; cache['a'] = 1",
    "count = 0\ndef inner():\n    nonlocal count\n    count += 1\ninner()",
    "seen = []\ndef branch():\n    seen.append(1)\n    yield Run('a', step)\nyield All(branch(), branch())",
    "x = CACHE.get('a'); y = SEEN[0]",
    "data = dict(CACHE)\ndata['a'] = 1",
    # loops
    "for x in [1, 2]:\n    yield Run('a', step, x)",
    "for x in [1, 2]:\n    yield Run('a', lambda x=x: step(x))",
    "total = 1\nfor x in [1, 2]:\n    yield Run('a', lambda: step(total), x)",
    # ids
    "for x in [1, 2]:\n    yield Run(f'a {x}', step)",
    "yield Run(f'a {step.__name__} {ctx.now:%Y} {sorted(NAMES)}', step)",
    # clean-up without effects
    "try:\n    yield Run('a', step)\nfinally:\n    x = 1\n    ctx.logger.info('done')",
    "try:\n    x = 1\nfinally:\n    helper(1)",
    "with contextlib.nullcontext():\n    yield Run('a', step)",
    # comments
    "t = time.time()  # flowgen: ignore[clock]",
    "x = helper(  # flowgen: ignore[clock, randomness]\n    time.time(), random.random()\n)",
]


@pytest.mark.parametrize("code, body", [(code, body) for code, bodies in REFUSED.items() for body in bodies])
def test_it_is_refused(code: str, body: str) -> None:
    """Each with its own code, and no other."""
    assert set(codes(body)) == {code}


@pytest.mark.parametrize("body", ACCEPTED)
def test_it_is_accepted(body: str) -> None:
    """No false alarm."""
    assert codes(body) == []


def test_every_code_has_an_example_that_is_refused() -> None:
    """And every code is on the reference page."""
    assert set(REFUSED) == set(CODES)
    page = (ROOT / "docs" / "reference" / "lint.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"`{code}`" not in page] == []


def test_a_finding_says_where_what_and_what_to_do() -> None:
    """The line of the code that is meant, also in a long statement."""
    text = "import time\n\ndef body(ctx):\n    yield Run(\n        'a',\n        step,\n        time.time(),\n    )\n"
    (finding,) = found(Source("shop", "shop.py", text))
    assert str(finding) == (
        "shop.py:7: clock: time.time() gives another time at each replay: take ctx.now, or do it in a step"
    )


def test_a_comment_ignores_only_what_it_names() -> None:
    """On its own line, or on the first line of the statement."""
    assert codes("t = time.time()  # flowgen: ignore[io]") == ["clock"]
    assert codes("# flowgen: ignore[clock]\nt = time.time()") == ["clock"]


def test_helpers_belong_to_the_body_in_whatever_module_they_are() -> None:
    """Through imports of the same package, by name or by module, relative or not, and out again."""
    app = "from . import parts\nfrom .parts import again as other\nfrom shop.more import third\n"
    app += "def body(ctx):\n    yield from parts.part(ctx)\n    x = other()\n    third()\n"
    parts = "import time\nfrom .more import third\ndef part(ctx):\n    yield time.time()\n"
    parts += "def again():\n    return third()\ndef unused():\n    return time.time()\n"
    more = "from datetime import datetime as d\ndef third():\n    return d.now()\n"
    findings = lint(
        [Entry("shop.app", "body", 4)],
        {
            "shop": Source("shop", "shop/__init__.py", "", True),
            "shop.app": Source("shop.app", "shop/app.py", app),
            "shop.parts": Source("shop.parts", "shop/parts.py", parts),
            "shop.more": Source("shop.more", "shop/more.py", more),
        }.get,
    )
    assert [(f.path, f.line, f.code) for f in findings] == [("shop/more.py", 3, "clock"), ("shop/parts.py", 4, "clock")]


def test_state_of_another_module_is_shared_too() -> None:
    """Imported by name."""
    state = Source("state", "state.py", "CACHE = {}\nLIMIT = 5\ndef put(): ...\n")
    text = "from state import CACHE\ndef body(ctx):\n    CACHE['a'] = 1\n    yield 1\n"
    sources = {"state": state, "shop": Source("shop", "shop.py", text)}
    assert [f.code for f in lint([Entry("shop", "body", 2)], sources.get)] == ["shared-state"]


def test_commands_are_known_through_modules_of_ones_own() -> None:
    """A package may re-export what it uses."""
    sources = {
        "shop": Source("shop", "shop.py", "from own import Run, nap\ndef body(ctx):\n    Run('a', nap)\n    yield 1\n"),
        "own": Source("own", "own.py", "from flowgen import Run, Sleep as nap\n"),
    }
    assert [f.code for f in lint([Entry("shop", "body", 2)], sources.get)] == ["not-yielded"]


def test_a_module_of_ones_own_is_not_the_one_of_that_name() -> None:
    """A file called requests.py beside the workflow is the user's."""
    sources = {
        "shop": Source("shop", "shop.py", "import requests\ndef body(ctx):\n    requests.get()\n    yield 1\n"),
        "requests": Source("requests", "requests.py", "def get(): return 1\n"),
    }
    assert lint([Entry("shop", "body", 2)], sources.get) == []


def test_a_workflow_in_a_function_is_found_and_what_it_captures_is_shared() -> None:
    """A factory's variables live as long as the workflow."""
    text = "def make(app, journal):\n    seen = []\n    @app.workflow\n    def body(ctx):\n"
    text += "        seen.append(1)\n        journal.append(2)\n        yield 1\n    return body\n"
    assert [(f.line, f.code) for f in found(Source("shop", "shop.py", text))] == [
        (5, "shared-state"),
        (6, "shared-state"),
    ]


def test_a_default_that_can_be_changed_is_shared() -> None:
    """It is made once, with the function."""
    text = "def body(ctx, seen=[], *, more={}):\n    seen.append(1)\n    more['a'] = 1\n    yield 1\n"
    assert [(f.line, f.code) for f in found(Source("shop", "shop.py", text))] == [
        (2, "shared-state"),
        (3, "shared-state"),
    ]


def test_two_workflows_that_call_one_helper_give_one_finding() -> None:
    """And functions that call each other come to an end."""
    text = "import time\ndef a():\n    time.time()\n    b()\ndef b():\n    a()\n"
    text += "def body(ctx):\n    a()\n    yield 1\ndef other(ctx):\n    b()\n    yield 1\n"
    sources = {"shop": Source("shop", "shop.py", text)}
    assert len(lint([Entry("shop", "body", 7), Entry("shop", "other", 10)], sources.get)) == 1


def test_a_module_that_cannot_be_read_is_passed_over() -> None:
    """Whether it is not there, or is no Python of this version."""
    text = "import broken, missing\ndef body(ctx):\n    broken.a()\n    missing.b()\n    yield 1\n"
    sources = {"shop": Source("shop", "shop.py", text), "broken": Source("broken", "broken.py", "def (")}
    assert lint([Entry("shop", "body", 2), Entry("broken", "a", 1), Entry("no", "a", 1)], sources.get) == []


PROGRAMS = sorted(
    f"patterns.{path.stem}" for path in (ROOT / "examples" / "patterns").glob("*.py") if path.stem != "__init__"
)


@pytest.mark.parametrize("module", [*PROGRAMS, "shop.app"])
def test_every_example_is_clean(module: str) -> None:
    """What we show has nothing to be told."""
    app = importlib.import_module(module).app
    entries = _entries(app)
    assert entries
    assert lint(entries, _Sources({entry.module for entry in entries}).find) == []


def test_what_the_pages_teach_is_clean() -> None:
    """Every workflow in the tutorial, the how-tos and the reference."""
    looked_at = 0
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python")):
            text = f"from flowgen import *\n{block}"
            entries = [
                Entry("page", node.name, min(decorator.lineno for decorator in node.decorator_list))
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.FunctionDef)
                and any("workflow" in ast.unparse(decorator) for decorator in node.decorator_list)
            ]
            looked_at += len(entries)
            source = Source("page", f"{page_name(page)}, block {number}", text)
            assert lint(entries, {"page": source}.get) == []
    assert looked_at > 50
