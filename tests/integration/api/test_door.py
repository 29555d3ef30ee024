"""The door: with a key it opens to who sends it, without one to this machine and its own pages."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.routing import WebSocketRoute
from starlette.testclient import WebSocketDenialResponse
from starlette.types import Message
from starlette.websockets import WebSocket

from api.app import create_app
from jobs.settings import Settings

Serve = Callable[..., TestClient]
KEY = "correct-horse-battery-staple"
RIGHT = {"Authorization": f"Bearer {KEY}"}
EVIL, PAGE = "https://evil.example", "https://page.example"
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
# What a visitor may see who has no key: that it lives, and what is the same on every server.
OPEN = {"/", "/healthz", "/docs", "/openapi.json", "/static/{name}", "/problems/{code}"}
GUARDS = {
    "content-security-policy",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-resource-policy",
    "cross-origin-opener-policy",
}


@pytest.fixture
def closed(serve: Serve) -> TestClient:
    """The API of a service with a key."""
    return serve(api_key=SecretStr(KEY))


def calls(routes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Every method and path template that an application routes, also what no document names."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from calls(route.original_router.routes)
        else:
            yield from ((method, route.path) for method in route.methods)


def all_calls(api: TestClient) -> list[tuple[str, str]]:
    """Every call, held against the document, so that none is missed by how we look."""
    found = list(calls(api.app.routes))  # type: ignore[attr-defined]
    described = api.app.openapi()["paths"]  # type: ignore[attr-defined]
    assert {path for _, path in found} >= set(described)
    assert len(found) > len(described)
    return found


def filled(template: str) -> str:
    """An address of that template."""
    return re.sub(r"\{\w+\}", "01KAT3Y5W7ZQH9N4C8RSBV6XEM", template)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY} {KEY}"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"Authorization": "Bearer ключ".encode()},
        {"X-Api-Key": KEY},
        {"Cookie": f"key={KEY}"},
    ],
    ids=repr,
)
def test_every_call_is_closed_without_the_right_key(closed: TestClient, sent: Any) -> None:
    """All there are and all there will be: what isn't named as open asks for the key."""
    let_in = set()
    for method, path in all_calls(closed):
        answer = closed.request(method, filled(path), headers=sent)
        if answer.status_code != 401:
            let_in.add(path)
            continue
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.headers) >= GUARDS
        assert method == "HEAD" or answer.json()["code"] == "unauthorized"

    assert let_in == OPEN


def test_the_key_opens_every_call(closed: TestClient) -> None:
    """However the word Bearer is written."""
    for sent in (RIGHT, {"Authorization": f"bearer  {KEY} "}):
        answers = [
            closed.request(method, filled(path), headers=sent).status_code
            for method, path in all_calls(closed)
        ]
        assert not {401, 403, 421} & set(answers)


def test_a_new_route_is_closed_by_default(closed: TestClient) -> None:
    """Also one that its author told nobody about; and so is what isn't there."""
    closed.app.get("/secrets", include_in_schema=False)(lambda: "all")  # type: ignore[attr-defined]

    assert closed.get("/secrets").status_code == 401
    assert closed.get("/secrets", headers=RIGHT).json() == "all"
    assert closed.get("/nowhere").status_code == 401
    assert closed.get("/static/../dreams").status_code == 401
    assert closed.options("/dreams").status_code == 401
    assert closed.post("/healthz/").status_code == 401


def test_a_refusal_says_how_the_key_is_sent_and_not_what_it_is(closed: TestClient) -> None:
    """And tells who forgot it from who has another; RFC 6750 has a word for the second."""
    missing = closed.get("/dreams")
    wrong = closed.get("/dreams", headers={"Authorization": "Bearer swordfish"})

    assert "asks for its key" in missing.json()["detail"]
    assert "Authorization: Bearer KEY" in missing.json()["detail"]
    assert missing.headers["www-authenticate"] == "Bearer"
    assert "not the key" in wrong.json()["detail"]
    assert wrong.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert "swordfish" not in wrong.text
    assert closed.get(missing.json()["type"]).json()["status"] == 401


def test_a_refusal_comes_before_the_body_is_read(settings: Settings) -> None:
    """A stranger's 20 MiB are never held: the body isn't even asked for."""
    app = create_app(settings.model_copy(update={"api_key": SecretStr(KEY), "allowed_hosts": None}))
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/dreams",
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
    }
    asyncio.run(app(scope, receive, send))

    assert sent[0]["status"] == 401


def test_what_is_no_http_is_closed_too(closed: TestClient) -> None:
    """A socket that somebody adds one day asks for the key like the rest."""

    async def live(socket: WebSocket) -> None:
        await socket.accept()

    closed.app.router.routes.append(WebSocketRoute("/live", live))  # type: ignore[attr-defined]

    with closed.websocket_connect("/live", headers=RIGHT):
        pass
    with pytest.raises(WebSocketDenialResponse) as refused, closed.websocket_connect("/live"):
        pass
    assert refused.value.status_code == 401


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost:9000", "[::1]:8000", "127.8.9.10"])
def test_the_open_door_answers_to_loopback(serve: Serve, name: str) -> None:
    """On any port: a tunnel ends where it likes."""
    assert serve().get("/dreams", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost@evil",
        "0.0.0.0",
        "",
    ],
)
def test_the_open_door_answers_to_no_foreign_name(serve: Serve, name: str) -> None:
    """A name of theirs that points to us (DNS rebinding) makes their page ours, but for Host."""
    api = serve()
    for method, path in all_calls(api):
        answer = api.request(method, filled(path), headers={"Host": name})

        assert (answer.status_code == 421) is (path != "/healthz"), path
        assert set(answer.headers) >= GUARDS
    refused = api.get("/dreams", headers={"Host": name}).json()
    assert (refused["code"], "DREAM_ALLOWED_HOSTS" in refused["detail"]) == ("foreign-host", True)


def test_a_name_that_was_given_is_answered_to(serve: Serve) -> None:
    """In any case and on any port; with a key too, where names are given, to no other."""
    for api, sent in (
        (serve(allowed_hosts="dream.lan,fd00::1"), {}),
        (serve(allowed_hosts="dream.lan,fd00::1", api_key=SecretStr(KEY)), RIGHT),
    ):
        for name in ("Dream.LAN:8000", "[FD00:0::1]:8000", "localhost"):
            assert api.get("/dreams", headers={**sent, "Host": name}).status_code == 200
        for name in ("lan", "x.dream.lan", "dream.lan.evil.example"):
            assert api.get("/dreams", headers={**sent, "Host": name}).status_code == 421
        assert api.get("/healthz", headers={"Host": "10.0.0.7:8000"}).status_code == 200


def test_with_a_key_and_no_names_any_name_will_do(closed: TestClient) -> None:
    """A page under a foreign name has no key to send."""
    assert closed.get("/dreams", headers={**RIGHT, "Host": "box.local"}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": EVIL},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},  # another program's page on this machine
        {"Origin": "http://127.0.0.1"},
        {"Origin": "ftp://127.0.0.1:8000"},
        {"Origin": f"http://127.0.0.1:8000, {EVIL}"},
        {"Origin": ""},
        {"Origin": EVIL, **LINK},
        {"Sec-Fetch-Site": "cross-site"},  # <img src=…>: no Origin is sent with it
        {"Sec-Fetch-Site": "same-site"},
        {**LINK, "Sec-Fetch-Dest": "iframe"},
    ],
    ids=repr,
)
def test_the_open_door_is_shut_to_pages_from_elsewhere(serve: Serve, sent: dict[str, str]) -> None:
    """They can neither post dreams nor look at pictures through the browser of who runs this."""
    api = serve()
    for method, path in all_calls(api):
        answer = api.request(method, filled(path), headers=sent)

        assert (answer.status_code == 403) is (path != "/healthz"), path
        assert "access-control-allow-origin" not in answer.headers
        assert set(answer.headers) >= GUARDS
    assert api.get("/dreams", headers=sent).json()["code"] == "foreign-origin"


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        LINK,
    ],
    ids=repr,
)
def test_the_open_door_is_open_to_ours(serve: Serve, sent: dict[str, str]) -> None:
    """Programs, our own pages, an address that is typed, a link that is followed."""
    assert serve().get("/dreams", headers=sent).status_code == 200


def test_following_a_link_moves_nothing(serve: Serve) -> None:
    """A form of theirs that posts is no link."""
    assert serve().post("/queue/pause", headers=LINK).status_code == 403


def test_no_page_elsewhere_is_let_in_unless_named(closed: TestClient) -> None:
    """CORS is off: no answer carries a word of it, a preflight is as closed as the rest."""
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "GET"}

    told = closed.options("/dreams", headers=preflight)
    answer = closed.get("/dreams", headers={**RIGHT, "Origin": PAGE})

    assert told.status_code == 401
    assert not [name for name in (*told.headers, *answer.headers) if name.startswith("access-")]


@pytest.mark.parametrize("key", [None, SecretStr(KEY)])
def test_a_page_that_is_named_is_let_in(serve: Serve, key: SecretStr | None) -> None:
    """It and no other; without cookies, which we have none of; caches are told."""
    api = serve(api_key=key, cors_origins=f"{PAGE},http://localhost:5173")
    ask = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }

    preflight = api.options("/dreams", headers={**ask, "Origin": PAGE})
    answer = api.get("/dreams", headers={**RIGHT, "Origin": PAGE, "Sec-Fetch-Site": "cross-site"})
    foreign = api.get("/dreams", headers={**RIGHT, "Origin": EVIL})
    refused = api.options("/dreams", headers={**ask, "Origin": EVIL})

    assert (preflight.status_code, answer.status_code) == (200, 200)
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "access-control-allow-credentials" not in {*preflight.headers, *answer.headers}
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    assert "location" in answer.headers["access-control-expose-headers"].lower()
    assert refused.status_code == 400
    for told in (foreign, refused):
        assert "access-control-allow-origin" not in told.headers
    for told in (preflight, answer, foreign, refused, api.get("/dreams", headers=RIGHT)):
        assert "Origin" in told.headers["vary"]


def test_a_named_page_learns_why_it_is_refused(serve: Serve) -> None:
    """Without the header its script would see no more than a failed request."""
    api = serve(api_key=SecretStr(KEY), cors_origins=PAGE)

    answer = api.get("/dreams", headers={"Origin": PAGE})

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_every_answer_carries_what_a_browser_obeys(closed: TestClient) -> None:
    """Also one that something broke, which is answered outside of all else."""
    closed.app.get("/broken")(lambda: 1 / 0)  # type: ignore[attr-defined]

    broken = closed.get("/broken", headers=RIGHT)

    assert broken.status_code == 500
    for answer in (broken, closed.get("/nowhere", headers=RIGHT), closed.get("/docs")):
        assert set(answer.headers) >= GUARDS
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("key", [None, SecretStr(KEY)])
def test_the_document_says_which_calls_ask_for_the_key(serve: Serve, key: SecretStr | None) -> None:
    """Generated clients send it, /docs has a place to type it; an open service demands nothing."""
    document = serve(api_key=key).get("/openapi.json").json()

    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert ({} in document["security"]) is (key is None)
    assert {name: []} in document["security"]
    free = {
        path for path, ops in document["paths"].items() for op in ops.values() if "security" in op
    }
    assert free == OPEN & set(document["paths"])
    told = document["paths"]["/dreams"]["get"]["responses"]["401"]
    assert "WWW-Authenticate" in told["headers"]


def test_the_page_shows_a_command_that_works(closed: TestClient, serve: Serve) -> None:
    """With a key it needs the key, which stays in the reader's own shell."""
    html = {"Accept": "text/html"}

    assert "Authorization: Bearer $DREAM_API_KEY" in closed.get("/", headers=html).text
    assert "Authorization" not in serve().get("/", headers=html).text
