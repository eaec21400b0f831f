"""What `flowgen` exports is the API: these names, and no others by accident."""

from __future__ import annotations

import inspect
import subprocess
import sys

import flowgen

EXPORTED = """
    App Context Workflow Steps OnEvent OnCron Event event_type
    Response
    Run Sleep SleepUntil WaitFor WaitForSignal Invoke SendEvent SendSignal All Race Winner Succeeded Failed Restart Saga
    Concurrency Throttle RateLimit Debounce Batch Priority Singleton CancelOn Timeouts
    Backoff Local Secret
    step_info StepInfo NonRetriableError RetryAfterError
    FlowgenError DefinitionError NondeterminismError StepError StepTimeout InvokeTimeout RunCancelled RunCancelledError
    RunFailed RunSkipped WorkerLost
""".split()


def test_the_exports_are_these_in_this_order() -> None:
    """A name that appears or disappears here is a change of the API."""
    assert flowgen.__all__ == EXPORTED


def test_what_is_exported_is_there_and_documented() -> None:
    """Each name exists, and each class and function says what it is."""
    for name in flowgen.__all__:
        thing = getattr(flowgen, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__doc__, name


def test_every_error_is_in_the_tree() -> None:
    """The text of `errors` lists each error that there is, and none that there is not."""
    from flowgen import errors

    defined = {
        name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, BaseException)
    }
    tree = (errors.__doc__ or "").split("::")[1].split("A message names")[0]
    listed = {
        word
        for line in tree.splitlines()
        for word in line.replace("├──", " ").replace("└──", " ").replace("│", " ").split()[:1]
    }
    assert listed == defined


HEAVY = "aiohttp apsw asyncio cattrs click httpx hypothesis jinja2 pytest sqlite3 starlette trio uvicorn".split()


def test_defining_workflows_imports_nothing_that_runs_them() -> None:
    """`import flowgen` is quick: no event loop, no database, no web framework, and cattrs only when it is needed."""
    code = "import sys, flowgen; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in HEAVY if name in done.stdout.split()] == []


def test_the_command_line_imports_what_its_commands_need() -> None:
    """`flowgen --help` needs click and nothing that waits; `import flowgen.runtime` needs nothing at all."""
    code = "import sys, flowgen.runtime, flowgen.runtime.cli.program; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [name for name in HEAVY if name in done.stdout.split()] == ["click"]
