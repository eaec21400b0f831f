"""The coroutines behind FastAPI: `python -m …fastapi_app PORT`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import fastapi
import inngest.fast_api
import uvicorn

from .async_functions import client, functions
from .seen import seen

app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, functions)


@app.middleware("http")
async def count(
    request: fastapi.Request, call_next: Callable[[fastapi.Request], Awaitable[fastapi.Response]]
) -> fastapi.Response:
    if request.method == "POST":
        seen("call", f"{request.query_params.get('fnId')} {request.query_params.get('stepId')}")
    return await call_next(request)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
