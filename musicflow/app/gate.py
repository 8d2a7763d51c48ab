"""The gate before all pages and the API: who may ask, and how much may be sent.

A service that only this machine reaches asks for nothing, but a page of another site could still
send a browser here under a name of its own (DNS rebinding): the host must be one of this machine. A
service that others reach asks for a token. It comes as ``Authorization: Bearer``, as a cookie, or
once as ``?token=``, which sets the cookie.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import HTTPConnection

from musicflow.app.problems import Problem, answer_with

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "musicflow_token"

_HERE = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Gate:
    """An ASGI application that lets pass to another what may.

    Parameters
    ----------
    app
        The other.
    token
        What those who ask must know; empty if the host's name is enough.
    """

    def __init__(self, app: Application, token: str = "") -> None:
        self.app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        problem = self._problem(scope)
        if problem is None:
            return await self.app(scope, receive, self._remembering(scope, send))
        if scope["type"] == "websocket":
            # Closing what was not accepted answers with 403.
            return await send({"type": "websocket.close", "code": 1008})
        return await answer_with(problem)(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        request = HTTPConnection(scope)
        if not self._token:
            host = request.headers.get("host", "").rpartition(":")
            name = host[0] if host[2].isdigit() else "".join(host)
            if name.lower() in _HERE:
                return None
            return Problem.of(
                421,
                f"{name!r} is no name of this machine",
                "ask http://localhost, or start it with a token: musicflow app --token TOKEN",
                "host",
            )
        if any(self._is_right(given) for given in _given(request)):
            return None
        return Problem.of(
            401,
            "the token is missing or wrong",
            "send it as `Authorization: Bearer TOKEN`, or open the address once with ?token=TOKEN",
            "token",
        )

    def _is_right(self, given: str) -> bool:
        return hmac.compare_digest(self._token.encode(), given.encode("utf-8", "replace"))

    def _remembering(self, scope: Scope, send: Send) -> Send:
        """Return a function that sends the cookie along, if the address had the token."""
        if not self._token or not _asked(HTTPConnection(scope)):
            return send
        cookie = f"{COOKIE}={self._token}; Path=/; HttpOnly; SameSite=Strict"

        async def with_cookie(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await send(message)

        return with_cookie


class Bounded:
    """An ASGI application that passes on requests whose bodies are not too large.

    Parameters
    ----------
    app
        The other.
    most
        Bytes. A body must tell its length before it comes.
    """

    def __init__(self, app: Application, most: int) -> None:
        self.app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        problem = self._problem(scope) if scope["type"] == "http" else None
        if problem is None:
            return await self.app(scope, receive, send)
        return await answer_with(problem)(scope, receive, send)

    def _problem(self, scope: Scope) -> Problem | None:
        headers = HTTPConnection(scope).headers
        if "transfer-encoding" in headers:
            advice = "send a Content-Length"
            return Problem.of(411, "the length of the body is not told", advice, "length")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) <= self._most:
            return None
        most = f"at most {self._most // 1_000_000} MB are taken"
        return Problem.of(413, f"the body has {length} bytes", most, "too-large")


def _given(request: HTTPConnection) -> list[str]:
    """Return the tokens that a request brings."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    bearer = [token.strip()] if kind.lower() == "bearer" else []
    kept = [request.cookies[COOKIE]] if COOKIE in request.cookies else []
    return [*bearer, *kept, *_asked(request)]


def _asked(request: HTTPConnection) -> list[str]:
    """Return the tokens in an address."""
    return request.query_params.getlist("token")
