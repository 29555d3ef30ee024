"""What a deployer may write at the door, and what the sentences say about the rest."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs import door
from jobs.errors import BadSetting
from jobs.settings import Settings, load

KEY = "0123456789abcdef"


@pytest.mark.parametrize("text", [KEY, f"{KEY}\n", f"  {KEY}\r\n", "x" * 512, "a/b+c=" * 8])
def test_a_key_is_read_from_its_file_without_the_end_of_its_line(text: str, tmp_path: Path) -> None:
    """`openssl rand … > file` and every editor leave one."""
    (tmp_path / "key").write_text(text)

    key = Settings(api_key_file=tmp_path / "key").key()

    assert key is not None
    assert key.get_secret_value() == text.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 characters, from 16 to 512"),
        ("\n", "has 0 characters"),
        ("swordfish", "has 9 characters"),
        ("swordfish" * 100, "has 900 characters"),
        ("swordfish " * 4, "without spaces"),
        ("swordfish\n" * 4, "one line"),
        ("swördfish" * 4, "visible ASCII"),
    ],
)
def test_what_is_no_key_is_a_sentence_that_makes_one_and_shows_nothing(
    text: str, said: str, tmp_path: Path
) -> None:
    """Whichever way it comes; half a key in a log is half a key too many."""
    (tmp_path / "key").write_text(text, "utf-8")
    given = [Settings(api_key_file=tmp_path / "key")]
    given += [Settings(api_key=SecretStr(text))] if text else []  # an empty variable is none

    for settings in given:
        with pytest.raises(BadSetting, match=said) as caught:
            settings.check_host()
        assert "openssl rand -base64 32" in str(caught.value)
        assert "DREAM_API_KEY" in str(caught.value)
        assert "fish" not in f"{caught.value} {caught.value.__cause__}"


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_file_that_cannot_be_read_is_a_sentence(name: str, tmp_path: Path) -> None:
    """With the system's own reason and the command that makes it."""
    with pytest.raises(BadSetting, match=r"API_KEY_FILE is '.*can't be read \(.*openssl rand"):
        Settings(api_key_file=tmp_path / name).key()


def test_two_keys_are_one_too_many(tmp_path: Path) -> None:
    """Which one holds would be a guess."""
    (tmp_path / "key").write_text(KEY)

    with pytest.raises(BadSetting, match="DREAM_API_KEY is set too"):
        Settings(api_key=SecretStr(KEY), api_key_file=tmp_path / "key").check_host()


def test_a_key_is_never_shown_with_the_settings() -> None:
    """They may stand in a log, or in a traceback."""
    assert KEY not in f"{Settings(api_key=SecretStr(KEY))!r} {Settings(api_key=SecretStr(KEY))}"


def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose hands on what isn't set as an empty text."""
    monkeypatch.setenv("DREAM_API_KEY", "")
    monkeypatch.setenv("DREAM_API_KEY_FILE", "")
    monkeypatch.setenv("DREAM_ALLOWED_HOSTS", "")

    assert (load().has_key, load().key(), load().allowed_hosts) == (False, None, None)


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost.:8000", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("[0:0::1]", "::1"),
        ("dream_1.example.org:", "dream_1.example.org"),
    ],
)
def test_a_host_has_one_spelling(authority: str, name: str) -> None:
    """Case, a port, a dot at the end and the zeros of IPv6 say nothing."""
    assert door.host_of(authority) == name


@pytest.mark.parametrize(
    "authority",
    ["", ":80", "::1", "[::1", "[localhost]", "a b", "a@localhost", "a/localhost", "a:b", "a, b"],
)
def test_what_is_no_host_is_none(authority: str) -> None:
    """Two of them, a path or a user before it never pass for a name."""
    assert door.host_of(authority) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    """By address, or by the one name that browsers take for it without asking."""
    assert door.loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.evil", "127.1", "x"])
def test_everything_else_is_elsewhere(host: str) -> None:
    """Also what some programs would take for loopback."""
    assert not door.loopback(host)


def test_lists_have_commas_and_one_spelling() -> None:
    """As a deployer writes them, and as they are compared."""
    settings = load(
        allowed_hosts=" Dream.example.org ,[FD00::1],",
        cors_origins="https://Page.example, http://localhost:5173",
        trusted_proxies="127.0.0.1,172.16.0.0/12, ::1",
    )

    assert door.listed(settings.allowed_hosts) == ("dream.example.org", "fd00::1")
    assert door.listed(settings.cors_origins) == ("https://page.example", "http://localhost:5173")
    assert door.listed(settings.trusted_proxies) == ("127.0.0.1/32", "172.16.0.0/12", "::1/128")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("allowed_hosts", "*"),
        ("allowed_hosts", "dream.example:8000"),
        ("allowed_hosts", "https://dream.example"),
        ("cors_origins", "*"),
        ("cors_origins", "null"),
        ("cors_origins", "page.example"),
        ("cors_origins", "https://page.example/"),
        ("cors_origins", "https://user@page.example"),
        ("trusted_proxies", "*"),
        ("trusted_proxies", "caddy"),
        ("trusted_proxies", "0.0.0.0/0"),
        ("trusted_proxies", "172.17.0.1/12"),
    ],
)
def test_what_would_open_the_door_too_far_is_refused(setting: str, value: str) -> None:
    """Everyone is never named; what matches nothing is said, and not ignored."""
    with pytest.raises(BadSetting, match=f"DREAM_{setting.upper()} is '.*give"):
        load(**{setting: value})
