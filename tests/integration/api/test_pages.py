"""The pages: what this is and the documentation, offline, under our own policy."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Page(HTMLParser):
    """Collects the addresses in a page, and whatever stands inline."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names and what it carries inline."""
        names = dict(attrs)
        self.addresses += [names[name] or "" for name in ("href", "src") if name in names]
        self.inline += [name for name in names if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.inline.append(tag)


@pytest.mark.parametrize("address", ["/", "/docs"])
def test_every_address_in_a_page_is_ours_and_answers(address: str, api: TestClient) -> None:
    """No CDN, no font from elsewhere: a machine without a network shows the same page."""
    page = Page(api.get(address, headers=HTML).text)

    assert page.addresses
    for target in page.addresses:
        assert re.match(r"/(?!/)", target), f"{target} leaves this server"
        assert api.get(target, headers=HTML).status_code in (200, 503), target  # 503: /readyz


@pytest.mark.parametrize("address", ["/", "/docs"])
def test_a_page_has_nothing_inline_and_its_policy_allows_nothing(
    address: str, api: TestClient
) -> None:
    """What a picture's name or a model's title smuggles in never runs."""
    answer = api.get(address, headers=HTML)

    assert Page(answer.text).inline == []
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["page.css", "docs.css", "swagger-ui.css"])
def test_style_sheets_fetch_nothing(name: str, api: TestClient) -> None:
    """Pictures in them are data, and there is no @import."""
    sheet = api.get(f"/static/{name}")

    assert sheet.headers["content-type"].startswith("text/css")
    assert "@import" not in sheet.text
    assert all(
        target.strip("\"'").startswith("data:")
        for target in re.findall(r"url\(([^)]{1,60})", sheet.text)
    )


def test_the_documentation_reads_our_own_document(api: TestClient) -> None:
    """And asks no validator elsewhere."""
    script = api.get("/static/docs.js").text

    assert 'url: "/openapi.json"' in script
    assert "validatorUrl: null" in script


def test_home_is_a_page_to_browsers_and_a_document_to_programs(api: TestClient) -> None:
    """One address, two readers; caches are told."""
    page, document = api.get("/", headers=HTML), api.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["vary"] == document.headers["vary"] == "Accept"
    assert document.json()["name"] == "torch-inception"
    for target in document.json()["links"].values():
        assert api.get(target).status_code in (200, 503)


def test_the_host_that_a_browser_names_is_text_in_the_page(
    serve: Callable[..., TestClient],
) -> None:
    """It comes from outside, like everything in a request; with a key any Host is answered."""
    api = serve(api_key=SecretStr("swordfish" * 3))
    marked = api.get("/", headers={**HTML, "Host": '"><script>x</script>'})
    quoted = api.get("/", headers={**HTML, "Host": "a'b"})

    assert "<script>x" not in marked.text
    assert "http://a&#x27;b/dreams" in quoted.text
