"""The warehouse: functions of the official Python SDK, in a FastAPI app. `python -m polyglot.warehouse PORT` serves it.

Nothing in it knows flowgen.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import inngest
import inngest.fast_api
import uvicorn
from fastapi import FastAPI

GRAMS = {"mug": 350, "poster": 120, "lamp": 1900}
STOCK = {"mug": 100, "poster": 100, "lamp": 1}

client = inngest.Inngest(app_id="warehouse", is_production=False, logger=logging.getLogger("warehouse"))


@client.create_function(fn_id="pack", trigger=inngest.TriggerEvent(event="warehouse/pack"))
async def pack(ctx: inngest.Context) -> dict[str, Any]:
    """Pick all items side by side, ask the courier what the parcel costs, tell what runs out."""
    items: list[str] = ctx.event.data["items"]  # type: ignore[assignment]

    def pick(item: str) -> Any:
        async def picked() -> int:
            return GRAMS[item]

        return lambda: ctx.step.run(f"pick {item}", picked)

    grams = sum(await ctx.group.parallel(tuple(pick(item) for item in items)))
    postage = await ctx.step.invoke_by_id("postage", app_id="courier", function_id="rate", data={"grams": grams})
    for item in items:
        if STOCK[item] < 5:
            await ctx.step.send_event("low", inngest.Event(name="stock/low", data={"item": item}))
    return {"grams": grams, "postage": postage}


@client.create_function(fn_id="weigh", trigger=inngest.TriggerEvent(event="warehouse/weigh"))
async def weigh(ctx: inngest.Context) -> int:
    """What the courier asks: how heavy is it really, with its box?"""
    return int(ctx.event.data["grams"]) + 50  # type: ignore[call-overload]


api = FastAPI(title="Warehouse")
inngest.fast_api.serve(api, client, [pack, weigh])

if __name__ == "__main__":
    uvicorn.run(api, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
