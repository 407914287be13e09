"""A refused request: a status and one sentence, for a page and for a websocket that is not open yet."""

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    """Answer with the sentence, and close the connection: what is still to come of the request is not read."""
    headers = {"Connection": "close", "Cache-Control": "no-store"}
    if status in (429, 503):
        headers["Retry-After"] = "60"
    await PlainTextResponse(f"{sentence}\n", status, headers)(scope, receive, send)
