import pytest
from pydantic import SecretStr

from jobs.errors import BadSetting
from jobs.settings import Settings, environment, load


def test_a_bad_value_is_one_sentence_with_setting_value_and_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deployer reads what to change, and no traceback of pydantic."""
    monkeypatch.setenv("DREAM_PORT", "80000")

    with pytest.raises(BadSetting, match=r"^DREAM_PORT is '80000': .*65535") as caught:
        load()

    assert caught.value.code == "bad-setting"
    assert "\n" not in str(caught.value)


def test_a_password_in_a_refused_url_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence goes to the log, and a log has no secrets; nor has its cause."""
    monkeypatch.setenv("DREAM_REDIS_URL", "amqp://user:swordfish@queue")

    with pytest.raises(BadSetting, match="DREAM_REDIS_URL") as caught:
        load()

    assert "swordfish" not in f"{caught.value} {caught.value.__cause__}"


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dream up --port` beats DREAM_PORT, which beats the default."""
    monkeypatch.setenv("DREAM_PORT", "9000")
    monkeypatch.setenv("DREAM_HOST", "")

    settings = load(port=9001, host=None)

    assert (settings.port, load().port, settings.host) == (9001, 9000, "127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "dreams.example"])
def test_a_host_that_others_can_reach_needs_a_key(host: str) -> None:
    """The sentence makes one, and names the other way out."""
    with pytest.raises(BadSetting, match=rf"DREAM_HOST is '{host}'.*127\.0\.0\.1") as caught:
        Settings(host=host).check_host()

    assert "openssl rand -base64 32" in str(caught.value)
    Settings(host=host, api_key=SecretStr("x" * 16)).check_host()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.10"])
def test_this_machine_may_reach_the_api(host: str) -> None:
    """All of loopback is open."""
    Settings(host=host).check_host()


def test_a_container_is_judged_by_where_its_port_is_published() -> None:
    """Inside it every address must be listened on; only compose knows where that leads."""
    Settings(host="0.0.0.0", publish="127.0.0.1").check_host()

    for elsewhere in ("0.0.0.0", "::", "192.168.1.7", "box.local"):
        with pytest.raises(BadSetting, match=f"DREAM_PUBLISH is '{elsewhere}'"):
            Settings(host="0.0.0.0", publish=elsewhere).check_host()


def test_a_child_started_with_the_environment_has_the_same_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `dream up` was told by options reaches API and workers, secrets too."""
    settings = load(
        port=9001,
        redis_url="redis://:swordfish@queue:6379/2",
        device="cuda:1",
        api_key="swordfish" * 3,
        allowed_hosts="a.example, b.example",
    )

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    assert load() == settings


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("7d", 604_800),
        ("12h", 43_200),
        ("90 min", 5_400),
        ("1.5 days", 129_600),
        ("2 Weeks", 1_209_600),
        ("off", None),
        ("never", None),
    ],
)
def test_a_duration_is_read_as_people_type_it(typed: str, seconds: float | None) -> None:
    """Nobody has to count the seconds of a week."""
    assert Settings(retention=typed).keep_s == seconds


@pytest.mark.parametrize("typed", ["7", "0d", "-1d", "30s", "7dours", "forever", "9999w", "1h30"])
def test_a_duration_that_can_not_be_meant_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """A mistyped one would delete somebody's dreams."""
    monkeypatch.setenv("DREAM_RETENTION", typed)

    with pytest.raises(BadSetting, match=rf"^DREAM_RETENTION is '{typed}': give .*, or off \("):
        load()


def test_every_setting_says_what_it_is() -> None:
    """The reference page is made of these."""
    assert all(field.description for field in Settings.model_fields.values())


def test_workers_share_the_cores_of_a_host() -> None:
    """Two workers with all cores each would be slower than one."""
    assert Settings(workers=1).threads_of_each(1) == 1
    assert Settings(workers=2).threads_of_each(5) == 2
    assert Settings(workers=64).threads_of_each(2) == 1
    assert Settings(workers=0).threads_of_each(2) == 2
    assert Settings(workers=2, threads=7).threads_of_each(4) == 7
