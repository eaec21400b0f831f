"""TARGET: where a user's app is, as `module:app` or `path/to/file.py:app`, and how it is imported.

The attribute may be left out where the module has exactly one `App`. A module is looked for from the
current directory; a file is imported under its own name with its directory (or, inside a package, the
package's) on the path, so that it finds its neighbours.

Whatever is wrong with a target is a `Fault` of one line; what it raises is told with the file and line
of the user's code. What it prints while being imported goes to standard error, so that it stays out of
the result. Refuses to know what an engine does with the app.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

from ...app import App
from ...errors import DefinitionError
from .faults import Fault

_HELP = "say module:app or path/to/file.py:app"


def load_app(target: str) -> App:
    """The app that `target` names, which has at least one workflow."""
    place, attribute = _parts(target)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module = _imported(target, place)
    app = _attribute(target, module, attribute) if attribute else _only_app(target, module)
    if not app.workflows:
        raise _fault(
            target, f"{app!r} has no workflows; put @app.workflow on a generator function, and import it there"
        )
    return app


def load_apps(targets: Sequence[str]) -> list[tuple[str, App]]:
    """The apps of some targets, each with its target; all have names of their own."""
    loaded: list[tuple[str, App]] = []
    for target in targets:
        app = load_app(target)
        for other, known in loaded:
            if known is app:
                raise _fault(target, f"it is the same app as TARGET {other}; name it once")
            if known.name == app.name:
                raise _fault(target, f"its app is called {app.name!r}, like that of TARGET {other}; rename one of them")
        loaded.append((target, app))
    return loaded


def _fault(target: str, message: str) -> Fault:
    return Fault("target", f"TARGET {target}: {message}")


def _parts(target: str) -> tuple[str, str]:
    """What to import, and the attribute ("" if it was left out)."""
    place, _, attribute = target.partition(":") if not target.endswith(".py") else (target, "", "")
    if not place or (":" in target and not target.endswith(".py") and not attribute):
        raise _fault(target, f"it is incomplete; {_HELP}")
    return place, attribute


# -- importing ------------------------------------------------------------------------------------


def _imported(target: str, place: str) -> ModuleType:
    load = _file_loader(target, place) if _is_path(place) else _module_loader(target, place)
    try:
        with redirect_stdout(sys.stderr):
            return load()
    except (KeyboardInterrupt, Fault):
        raise
    except SystemExit as error:
        what = f"it calls exit({error.code!r}) while it is imported ({_where(error)})"
        raise _fault(target, f'{what}; put that under if __name__ == "__main__":') from error
    except BaseException as error:
        raise _raised(target, place, error) from error


def _module_loader(target: str, name: str) -> Callable[[], ModuleType]:
    if not all(part.isidentifier() for part in name.split(".")):
        raise _fault(target, f"{name!r} is no name of a module; {_HELP}")
    return lambda: importlib.import_module(name)


def _raised(target: str, name: str, error: BaseException) -> Fault:
    if isinstance(error, ModuleNotFoundError) and error.name is not None and f"{name}.".startswith(f"{error.name}."):
        return _fault(target, f"there is no module {error.name!r} here ({os.getcwd()}) or installed; {_HELP}")
    if isinstance(error, DefinitionError):
        return _fault(target, str(error))
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return _fault(target, f"it cannot be imported: {type(error).__name__}: {message} ({_where(error)})")


def _is_path(place: str) -> bool:
    return place.endswith(".py") or os.sep in place


def _file_loader(target: str, place: str) -> Callable[[], ModuleType]:
    """How to import a file; the directory that its imports start from is on the path afterwards."""
    path = Path(place).resolve()
    if path.is_dir():
        raise _fault(target, f"{place} is a directory; {_HELP}")
    if not path.is_file():
        raise _fault(target, f"there is no file {place} here ({os.getcwd()})")
    if path.suffix != ".py":
        raise _fault(target, f"{place} is no Python file; {_HELP}")
    root = path.parent
    packages: list[str] = []
    while (root / "__init__.py").is_file():
        packages.insert(0, root.name)
        root = root.parent
    sys.path.insert(0, str(root))
    if packages:
        name = ".".join(packages if path.name == "__init__.py" else [*packages, path.stem])
        return lambda: importlib.import_module(name)
    name = re.sub(r"\W", "_", path.stem)
    _check_free(target, name, path)
    return lambda: _load_file(name, path)


def _check_free(target: str, name: str, path: Path) -> None:
    """Others that import this name must get the user's module, and who has it already must keep theirs."""
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) != str(path):
        raise _fault(target, f"its name is that of the module {name!r}, which is in use; rename the file")


def _load_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _where(error: BaseException) -> str:
    """File and line of the user's code that an error came from."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{relative(error.filename)}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if not is_library(frame.filename)]
    last = (own or frames)[-1]
    return f"{relative(last.filename)}:{last.lineno}"


_LIBRARIES = (os.path.dirname(os.__file__), str(Path(__file__).parents[2]))


def is_library(filename: str) -> bool:
    """Whether a file is no code of the user's."""
    return "site-packages" in filename or filename.startswith(_LIBRARIES)


def relative(filename: str) -> str:
    """A path from the current directory, if it is below it. What follows the name of the file stays."""
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename


# -- finding the app ------------------------------------------------------------------------------


def _attribute(target: str, module: ModuleType, attribute: str) -> App:
    thing: object = module
    for part in attribute.split("."):
        if not hasattr(thing, part):
            raise _fault(target, f"{module.__name__} has no {attribute!r}; {_found(module)}")
        thing = getattr(thing, part)
    if not isinstance(thing, App):
        raise _fault(target, f"{attribute!r} is of type {type(thing).__name__}, not an App; {_found(module)}")
    return thing


def _only_app(target: str, module: ModuleType) -> App:
    apps = _apps(module)
    if len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    raise _fault(target, _found(module))


def _found(module: ModuleType) -> str:
    """What apps there are to choose from."""
    names = list(_apps(module))
    if not names:
        return f'{module.__name__} has no App; make one with app = App("name")'
    return f"it has {'these apps' if len(names) > 1 else 'this app'}: {', '.join(names)}; name one after a colon"


def _apps(module: ModuleType) -> dict[str, App]:
    return {name: thing for name, thing in vars(module).items() if isinstance(thing, App)}
