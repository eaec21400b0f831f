"""flowgen: durable workflows as plain Python generators.

What is exported here is the API of the code that *defines* workflows. What runs them is in
`flowgen.runtime`, what tests them in `flowgen.testing`.
"""

from .app import App
from .commands import (
    All,
    Invoke,
    Race,
    Restart,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    Steps,
    WaitFor,
    WaitForSignal,
    Winner,
)
from .context import Context
from .endpoints import Response
from .errors import (
    DefinitionError,
    FlowgenError,
    InvokeTimeout,
    NondeterminismError,
    NonRetriableError,
    RetryAfterError,
    RunCancelled,
    RunCancelledError,
    RunFailed,
    RunSkipped,
    StepError,
    StepTimeout,
    WorkerLost,
)
from .events import Event, event_type
from .flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from .outcome import Failed, Succeeded
from .retry import Backoff
from .saga import Saga
from .step import StepInfo, step_info
from .triggers import OnCron, OnEvent
from .values import Local, Secret
from .workflow import Workflow

__version__ = "0.1.0"

__all__ = [
    # defining workflows
    "App",
    "Context",
    "Workflow",
    "Steps",
    "OnEvent",
    "OnCron",
    "Event",
    "event_type",
    "Response",
    # commands
    "Run",
    "Sleep",
    "SleepUntil",
    "WaitFor",
    "WaitForSignal",
    "Invoke",
    "SendEvent",
    "SendSignal",
    "All",
    "Race",
    "Winner",
    "Succeeded",
    "Failed",
    "Restart",
    "Saga",
    # flow control
    "Concurrency",
    "Throttle",
    "RateLimit",
    "Debounce",
    "Batch",
    "Priority",
    "Singleton",
    "CancelOn",
    "Timeouts",
    # policies, and values with a meaning
    "Backoff",
    "Local",
    "Secret",
    # inside a step
    "step_info",
    "StepInfo",
    "NonRetriableError",
    "RetryAfterError",
    # errors
    "FlowgenError",
    "DefinitionError",
    "NondeterminismError",
    "StepError",
    "StepTimeout",
    "InvokeTimeout",
    "RunCancelled",
    "RunCancelledError",
    "RunFailed",
    "RunSkipped",
    "WorkerLost",
]
