"""Each line marked `# refused` is an error for both checkers, and no other line is."""

from __future__ import annotations

from flowgen import App, CancelOn, Concurrency, Debounce, Throttle

app = App("shop")

app.workflow(on="0 9 * * *")  # refused
app.workflow(on=["order/placed"])  # refused
app.workflow(on=Debounce("5m"))  # refused
app.workflow(concurrency=10)  # refused
app.workflow(concurrency=[10])  # refused
app.workflow(throttle=[Throttle(3, per="1m")])  # refused
app.workflow(rate_limit=Throttle(3, per="1m"))  # refused
app.workflow(debounce="5m")  # refused
app.workflow(batch=100)  # refused
app.workflow(priority="120")  # refused
app.workflow(singleton=True)  # refused
app.workflow(idempotency=Concurrency(1))  # refused
app.workflow(cancel_on="order/cancelled")  # refused
app.workflow(cancel_on=[CancelOn("a"), "b"])  # refused
app.workflow(timeouts="1h")  # refused
app.workflow(on_failure=print)  # refused
app.workflow(timeout="1h")  # refused
