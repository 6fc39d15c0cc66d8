"""The door of the studio: Host, Origin and token on every route and socket."""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from app.guard import REFUSED_HOST, REFUSED_ORIGIN, REFUSED_TOKEN, Guard, cookie_name

PORT, TOKEN = 8610, "a-launch-token"
HOST = f"127.0.0.1:{PORT}"
HOME = f"http://{HOST}"


@dataclass
class Answer:
    status_code: int
    headers: dict
    text: str


async def _studio(scope, receive, send):
    """Stand for everything behind the door."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the page"})


def ask(target, headers=None, kind="http", extensions=None):
    path, query = urlsplit(target).path, urlsplit(target).query
    if target.startswith("//"):
        path = target.partition("?")[0]
    given = {"host": HOST, **(headers or {})}
    scope = {
        "type": kind,
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "extensions": extensions or {},
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(_studio, token=TOKEN, port=PORT)(scope, None, send))
    return sent


def get(target, headers=None):
    sent = ask(target, headers)
    held = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], held, sent[1]["body"].decode())


def test_first_open_hands_out_a_cookie_and_hides_the_token():
    answer = get(f"/?token={TOKEN}&run=r1", {"accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/?run=r1"
    cookie = answer.headers["set-cookie"]
    assert cookie_name(PORT) in cookie
    assert "HttpOnly" in cookie
    assert "SameSite" in cookie
    assert get("/", {"cookie": cookie.partition(";")[0]}).text == "the page"


def test_redirect_stays_on_this_server():
    answer = get(f"//elsewhere.example/?token={TOKEN}", {"accept": "text/html"})
    assert answer.headers["location"].startswith("/elsewhere.example")


@pytest.mark.parametrize("path", ["/", "/microcosm/layout/x", "/_stcore/health"])
@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%C3%A9"])
def test_without_the_token_everything_is_refused(path, query):
    answer = get(path + query)
    assert (answer.status_code, answer.text) == (403, REFUSED_TOKEN)


@pytest.mark.parametrize("cookie", ["%s=wrong", "other=%s", "%s=;;==\x01"])
def test_a_wrong_cookie_is_refused(cookie):
    name = cookie_name(PORT)
    answer = get("/", {"cookie": cookie % name})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:9999", "127.0.0.1.evil.example:8610", ""])
def test_another_host_is_refused(host):
    answer = get(f"/?token={TOKEN}", {"host": host})
    assert (answer.status_code, answer.text) == (403, REFUSED_HOST)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8610", "http://127.0.0.1:8611"])
def test_another_origin_is_refused(origin):
    answer = get(f"/?token={TOKEN}", {"origin": origin})
    assert (answer.status_code, answer.text) == (403, REFUSED_ORIGIN)


@pytest.mark.parametrize("origin", [HOME, f"http://localhost:{PORT}"])
def test_own_origin_passes(origin):
    assert get(f"/?token={TOKEN}", {"origin": origin}).text == "the page"


def test_socket_with_token_and_origin_opens():
    sent = ask(f"/microcosm/live/x?token={TOKEN}", {"origin": HOME}, "websocket")
    assert sent == [{"type": "websocket.accept"}]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"origin": HOME}),
        ("?token=wrong", {"origin": HOME}),
        (f"?token={TOKEN}", {}),
        (f"?token={TOKEN}", {"origin": "http://evil.example"}),
        (f"?token={TOKEN}", {"origin": HOME, "host": "evil.example"}),
    ],
)
def test_socket_without_token_or_from_elsewhere_is_refused(query, headers):
    sent = ask(f"/microcosm/live/x{query}", headers, "websocket", {"websocket.http.response": {}})
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 403
    plain = ask(f"/microcosm/live/x{query}", headers, "websocket")
    assert plain[0]["type"] == "websocket.close"


def test_every_answer_forbids_other_servers():
    headers = get(f"/?token={TOKEN}").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http:" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
