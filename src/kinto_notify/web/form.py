"""What a form says, whoever sent it.

In: a POST. Out: the form's fields that are text, without files. `ValueError` for what is no form, however it is broken:
aiohttp has an exception of another kind for each way. `TimeoutError` for one that does not come. One that is too large
is refused by aiohttp itself.
"""

import asyncio

from aiohttp import web
from aiohttp.http import HttpProcessingError

#: A form of a few words is there at once.
_BODY_S = 5.0


async def fields_of(request: web.Request) -> dict[str, str]:
    """Read the fields."""
    try:
        async with asyncio.timeout(_BODY_S):
            form = await request.post()
    except (LookupError, EOFError, HttpProcessingError, web.RequestPayloadError):
        # An encoding that nobody knows, parts without an end, lines that are no header.
        raise ValueError("this is no form") from None
    return {name: value for name, value in form.items() if isinstance(value, str)}
