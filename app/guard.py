"""The door of the studio: every request and socket needs the right Host, Origin and launch token.

The server listens on 127.0.0.1, yet any page in any browser tab can send requests there. So `Guard` wraps the whole
application: Host and Origin must be the studio's own, and the token that the terminal printed must come along, first
in the address, afterwards in a cookie that scripts cannot read.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REFUSED_HOST = "This address is not the studio's own: open http://127.0.0.1 with the port that the terminal printed."
REFUSED_ORIGIN = "Another site asked for this; the studio answers only its own pages."
REFUSED_TOKEN = "Open the studio with the address that the terminal printed: this request lacks its launch token."

# Everything the pages need is served from here, so the browser itself may refuse the rest of the web.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-src 'self' blob: data:; "
    "connect-src 'self' data: blob: ws://127.0.0.1:{port} ws://localhost:{port}; object-src 'none'; base-uri 'self'"
)


def cookie_name(port: int) -> str:
    """Return the cookie's name; cookies do not tell ports apart, so the name does."""
    return f"microcosm_{port}"


class Guard:
    """ASGI middleware that refuses whatever does not come from the studio's own pages.

    Args:
        app: The application behind the door.
        token: The launch token.
        port: Port that the studio answers on; part of the accepted hosts and of the cookie's name.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self.app = app
        self.token = token
        self.port = port
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, hand out the cookie, or refuse with 403 and one sentence."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        reason = self._refusal(scope, headers)
        if reason:
            await _refuse(scope, send, reason)
        elif self._is_first_open(scope, headers):
            await self._hand_out_cookie(scope, send)
        else:
            await self.app(scope, receive, self._with_headers(scope, send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> str:
        if headers.get("host", "").lower() not in self.hosts:
            return REFUSED_HOST
        origin = headers.get("origin")
        if (origin is not None or scope["type"] == "websocket") and (origin or "").lower() not in self.origins:
            return REFUSED_ORIGIN
        given = [_query_token(scope), _cookie_token(headers, cookie_name(self.port))]
        if not any(hmac.compare_digest(token.encode(), self.token.encode()) for token in given if token):
            return REFUSED_TOKEN
        return ""

    def _is_first_open(self, scope: Scope, headers: dict[str, str]) -> bool:
        page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
        return page and bool(_query_token(scope))

    async def _hand_out_cookie(self, scope: Scope, send: Send) -> None:
        pairs = [(key, value) for key, value in parse_qsl(scope["query_string"].decode("latin-1")) if key != "token"]
        target = scope["path"].lstrip("/")
        location = "/" + target + (f"?{urlencode(pairs)}" if pairs else "")
        cookie = f"{cookie_name(self.port)}={self.token}; Path=/; HttpOnly; SameSite=Lax"
        headers = [
            (b"location", location.encode("latin-1", "replace")),
            (b"set-cookie", cookie.encode("latin-1")),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        if scope["type"] != "http":
            return send

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                names = {name.lower() for name, _ in headers}
                extra = {
                    b"content-security-policy": POLICY.format(port=self.port).encode(),
                    b"x-content-type-options": b"nosniff",
                    b"x-frame-options": b"SAMEORIGIN",
                    b"referrer-policy": b"no-referrer",
                }
                headers += [(name, value) for name, value in extra.items() if name not in names]
                message = {**message, "headers": headers}
            await send(message)

        return wrapped


def _query_token(scope: Scope) -> str:
    return dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))).get("token", "")


def _cookie_token(headers: dict[str, str], name: str) -> str:
    try:
        held = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:  # a malformed Cookie header carries no token
        return ""
    return held.value if held else ""


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:120]})
        return
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": f"{kind}.start", "status": 403, "headers": headers})
    await send({"type": f"{kind}.body", "body": reason.encode()})
