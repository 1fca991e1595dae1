"""Who may speak to the server: the page that it serves itself, and programs on this machine or with the token.

A page from elsewhere can make a browser send requests to a server on the same machine. It cannot choose the headers
`Host`, `Origin` and `Sec-Fetch-Site` that the browser sends along.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "is_loopback"]

COOKIE = "jaxret-token"
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, which no other reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Refuses requests before anything else sees them, and sets the headers that bind the page.

    Args:
      app: what is guarded.
      host: the address that is listened on.
      name: how browsers call it beside the names of this machine; None for nothing else.
      token: that every request must bring, as `Authorization: Bearer TOKEN`, or as the cookie that `/?token=TOKEN`
        sets; None for none, on the loopback address.
    """

    def __init__(self, app: ASGIApp, host: str, name: str | None, token: str | None):
        self._app, self._token = app, token
        self._names = {"localhost"} if is_loopback(host) else {"localhost", host.lower(), socket.gethostname().lower()}
        self._names |= set() if name is None else {name.lower()}
        self._local = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_bound)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return _refused(421, "the header Host names another machine: open the address that jaxret serve printed")
        if (
            origin := headers.get("origin")
        ) is not None and origin.lower() != f"{scope['scheme']}://{hosts[0].lower()}":
            return _refused(403, "the header Origin names another page: requests of other pages are refused")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _is_visit(scope, headers):
            return _refused(403, "the request was sent by another page: requests of other pages are refused")
        if self._token is None:
            return None
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token") if scope["path"] == "/" else None
        if given is not None and self._is_token(given):
            response = RedirectResponse("/", 303)
            response.set_cookie(COOKIE, given, httponly=True, samesite="strict", path="/")
            return response
        if not any(self._is_token(token) for token in _tokens(headers)):
            told = "open the address that jaxret serve printed, or send it as the header Authorization: Bearer TOKEN"
            return _refused(401, f"the token is missing or wrong: {told}")
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether the header is how this server can be called: a rebound name of a foreign page is not."""
        name = host.lower()
        if name.startswith("["):
            name, _, port = name[1:].partition("]")
            port = port.removeprefix(":")
        else:
            name, _, port = name.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._local

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode())


def _is_visit(scope: Scope, headers: Mapping[str, str]) -> bool:
    """Whether somebody followed a link from elsewhere to the page itself."""
    navigated = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    return navigated and scope["method"] in _SAFE and not scope["path"].startswith("/api")


def _tokens(headers: Headers) -> Iterable[str]:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield bearer.strip()
    for line in headers.getlist("cookie"):
        try:
            cookie = SimpleCookie(line).get(COOKIE)
        except CookieError:
            continue
        if cookie is not None:
            yield cookie.value


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status, {"Connection": "close"})
