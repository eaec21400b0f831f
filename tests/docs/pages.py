"""The pages for users, and the code on them, run as a reader would run it.

A page is README.md, CONTRIBUTING.md or a Markdown file under `docs/`. Its Python blocks are run from top to bottom in
a directory of the page's own. A block whose first line is a comment with a file name (`# shop.py`) is written to
that file and imported, so that later blocks can import it too; in a file called `test_….py` the functions called
`test_…` are called as well. All other blocks share one namespace. At the end of a page what it registered with
`atexit` is called, as at the end of a program.

Refuses to know: what is on the pages.
"""

from __future__ import annotations

import atexit
import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

from sybil import Example, Sybil
from sybil.document import Document
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FILE = re.compile(r"# (\w+)\.py\n")


def page_name(page: Path) -> str:
    """A page's path from the root of the project."""
    return page.relative_to(ROOT).as_posix()


def run_page(page: Path, directory: Path) -> int:
    """Run the Python on a page in an empty directory; how many blocks there were."""
    with _stage(directory) as module:
        document = _parsed(page, "python", _run)
        document.namespace["module"] = module
        examples = list(document.examples())
        for example in examples:
            example.evaluate()
        return len(examples)


def blocks(page: Path, language: str) -> list[str]:
    """The text of a page's blocks in a language."""
    return [str(example.parsed) for example in _parsed(page, language, _run).examples()]


def _parsed(page: Path, language: str, evaluator: object) -> Document:
    parser = CodeBlockParser(language, evaluator)  # type: ignore[arg-type]
    return Sybil(parsers=[parser]).parse(page)


@contextmanager
def _stage(directory: Path) -> Iterator[ModuleType]:
    """A module for the page, its directory on the path; afterwards all modules are as they were."""
    module = ModuleType("page")
    at_exit = ExitStack()
    register, atexit.register = atexit.register, at_exit.callback
    before = dict(sys.modules)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(directory))
    sys.dont_write_bytecode, writes = True, sys.dont_write_bytecode
    try:
        yield module
    finally:
        atexit.register = register
        at_exit.close()
        sys.dont_write_bytecode = writes
        sys.path.remove(str(directory))
        for name, thing in list(sys.modules.items()):
            if name == module.__name__ or Path(getattr(thing, "__file__", None) or "/").is_relative_to(directory):
                del sys.modules[name]
        sys.modules.update({name: thing for name, thing in before.items() if name not in sys.modules})


def _run(example: Example) -> None:
    """Run one block: as a file of its own, or in the page's namespace."""
    file = _FILE.match(example.parsed)
    if file is not None:
        _run_file(file[1], example.parsed)
        return
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    exec(compile(source, example.path, "exec", dont_inherit=True), example.namespace["module"].__dict__)


def _run_file(name: str, text: str) -> None:
    Path(sys.path[0], f"{name}.py").write_text(text, encoding="utf-8")
    sys.modules.pop(name, None)
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    if name.startswith("test_"):
        for test in [thing for key, thing in vars(module).items() if key.startswith("test_")]:
            test()
