"""What the compose files promise, in the words of Compose's own parser."""

import os
import re
import subprocess
import sys
from pathlib import Path
from platform import machine
from typing import Any

import pytest
import redis

from jobs.valkey import binary as valkey
from jobs.valkey import wait_until_up
from rehearsal.compose import ON_CPU, ON_GPU, ROOT, parse

pytestmark = pytest.mark.skipif(
    (sys.platform, machine()) != ("linux", "x86_64"),
    reason="the package registry has Compose's parser for Linux on x86_64 only",
)

Service = dict[str, Any]
OURS = ("api", "worker")
ALL = ("redis", *OURS)
LOOPBACK = "127.0.0.1"


@pytest.fixture(scope="module", params=[ON_CPU, ON_GPU], ids=["cpu", "gpu"])
def parsed(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give what a host runs that has no .env."""
    return parse(request.param)


@pytest.fixture(params=ALL)
def service(parsed: dict[str, Any], request: pytest.FixtureRequest) -> Service:
    """Give each of the services."""
    found: Service = parsed["services"][request.param]
    return found


@pytest.fixture(params=OURS)
def ours(parsed: dict[str, Any], request: pytest.FixtureRequest) -> Service:
    """Give each of those that run our code."""
    found: Service = parsed["services"][request.param]
    return found


def seconds(duration: str) -> int:
    """Return 75 for Compose's 1m15s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(n) * units[unit] for n, unit in re.findall(r"(\d+)([hms])", duration))


def example() -> dict[str, str]:
    """Return every line of .env.example as if it were switched on."""
    lines = re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return dict(lines)


def test_there_are_three_services(parsed: dict[str, Any]) -> None:
    """A queue, a door and a dreamer; no fourth that nobody watches."""
    assert set(parsed["services"]) == set(ALL)


def test_every_line_of_the_example_can_be_switched_on(tmp_path: Path) -> None:
    """Who copies .env.example and uncomments a line gets a file that Compose takes."""
    env_file = tmp_path / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in example().items()))

    on = parse(ON_GPU, env_file=env_file)

    assert on["services"]["api"]["environment"]["DREAM_REDIS_PASSWORD"] == "change-me"


def test_the_example_shows_what_holds_without_it(parsed: dict[str, Any]) -> None:
    """A line of the example that is switched on unchanged changes nothing."""
    door = {"API_KEY", "API_KEY_FILE", "ALLOWED_HOSTS", "CORS_ORIGINS", "TRUSTED_PROXIES"}
    chosen = {"DREAM_REDIS_PASSWORD", "DREAM_THREADS", "COMPOSE_FILE"}
    chosen |= {f"DREAM_{name}" for name in door}
    same = {name: value for name, value in example().items() if name not in chosen}
    files = ON_GPU if "deploy" in parsed["services"]["worker"] else ON_CPU

    assert parse(files, same) == parsed


def test_compose_refuses_what_it_cannot_read() -> None:
    """The parser that all of this rests on is able to say no."""
    with pytest.raises(subprocess.CalledProcessError):
        parse(ON_CPU, {"DREAM_WORKER_MEMORY": "lots"})


def test_each_service_is_locked_down(service: Service) -> None:
    """Who takes over a service finds no root, no capability and nothing to write to."""
    user, group = (int(part) for part in service["user"].split(":"))

    assert (user > 0, group > 0) == (True, True)
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode"} & set(service)
    assert all(mount["type"] == "volume" for mount in service["volumes"])


def test_each_service_has_its_limits(service: Service) -> None:
    """None takes the host's memory, processes or disk from the others."""
    assert 2**28 <= int(service["mem_limit"]) <= 2**33
    assert 0 < service["pids_limit"] <= 512
    assert service["logging"]["driver"] == "json-file"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


def test_each_service_comes_back_by_itself(service: Service) -> None:
    """After a crash and after a reboot; a process that reaps and passes on signals comes first."""
    assert service["restart"] == "unless-stopped"
    assert service["init"]
    assert seconds(service["stop_grace_period"]) >= 10


def test_each_health_command_tests_the_real_thing(parsed: dict[str, Any]) -> None:
    """And has time to answer, and no more than the pause to the next."""
    checks = {name: service["healthcheck"] for name, service in parsed["services"].items()}
    tests = {name: " ".join(check["test"][1:]) for name, check in checks.items()}

    assert tests["api"] == "python -P -m api.healthcheck"
    assert tests["worker"] == "python -P -m worker.healthcheck"
    assert "valkey-cli ping" in tests["redis"]
    assert all(seconds(c["timeout"]) < seconds(c["interval"]) for c in checks.values())
    assert "readyz" not in str(checks)


def test_our_services_wait_for_a_healthy_redis(ours: Service) -> None:
    """And for nothing else: weights on their way keep nobody waiting."""
    assert ours["depends_on"] == {"redis": {"condition": "service_healthy", "required": True}}


def test_redis_forgets_nothing(parsed: dict[str, Any]) -> None:
    """A ledger that evicts, or keeps itself in memory alone, is none."""
    redis = parsed["services"]["redis"]
    (command,) = redis["command"][2:]

    for option in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"):
        assert f"--{option} " in command
    assert "--dir /data " in command
    assert [(v["source"], v["target"]) for v in redis["volumes"]] == [("queue", "/data")]
    assert int(redis["mem_limit"]) > 512 * 2**20, "or the kernel kills it before it says no"


def test_redis_gets_the_signal_to_stop(parsed: dict[str, Any]) -> None:
    """As the reader of a pipe it would be killed with its shell, its last second unwritten."""
    (command,) = parsed["services"]["redis"]["command"][2:]

    assert command.startswith("exec valkey-server ")
    assert "| exec" not in command


@pytest.mark.parametrize("password", ["", "s3cret"])
def test_the_command_of_redis_starts_one_that_is_set_up_so(password: str, tmp_path: Path) -> None:
    """Run as it stands, on a socket and a folder of this test; without a password it asks none."""
    (command,) = parse()["services"]["redis"]["command"][2:]
    socket = tmp_path / "socket"
    ours = command.replace("$$", "$").replace("/data", f"{tmp_path} --port 0 --unixsocket {socket}")
    (tmp_path / "valkey-server").symlink_to(valkey())
    env = {"PATH": f"{tmp_path}:{os.defpath}", "DREAM_REDIS_PASSWORD": password}
    client = redis.Redis(unix_socket_path=str(socket), password=password or None)

    with subprocess.Popen(["sh", "-c", ours], env=env, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until_up(client)
            found: Any = client.config_get("append*", "save", "maxmemory*", "requirepass")
        finally:
            server.terminate()

    assert found["requirepass"] == password
    assert (found["appendonly"], found["appendfsync"], found["save"]) == ("yes", "everysec", "")
    assert (found["maxmemory"], found["maxmemory-policy"]) == (str(512 * 2**20), "noeviction")
    assert server.returncode == 0


@pytest.mark.parametrize(("password", "sent"), [("", "none"), ("s3 cret", "s3 cret")])
@pytest.mark.parametrize(("answer", "status"), [("PONG", 0), ("NOAUTH", 1)])
def test_the_health_command_of_redis_sends_a_password_where_there_is_one(
    password: str, sent: str, answer: str, status: int, tmp_path: Path
) -> None:
    """Run as it stands, on a client of this test that says what it was given."""
    (command,) = parse()["services"]["redis"]["healthcheck"]["test"][1:]
    client = tmp_path / "valkey-cli"
    client.write_text(f'#!/bin/sh\necho "${{REDISCLI_AUTH-none}}" >&2\necho {answer}\n')
    client.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.defpath}", "DREAM_REDIS_PASSWORD": password}

    asked = subprocess.run(
        ["sh", "-c", command.replace("$$", "$")],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (asked.stderr, asked.returncode) == (f"{sent}\n", status)


def test_redis_is_reached_from_inside_only(parsed: dict[str, Any]) -> None:
    """It is published nowhere, and its only network leads nowhere."""
    redis = parsed["services"]["redis"]

    assert "ports" not in redis
    assert list(redis["networks"]) == ["inside"]
    assert parsed["networks"]["inside"]["internal"]


def test_a_password_reaches_all_three_and_no_process_list() -> None:
    """It stands in the environment of those who need it, in no command line."""
    parsed = parse(settings={"DREAM_REDIS_PASSWORD": "s3cret"})["services"]

    assert all(parsed[name]["environment"]["DREAM_REDIS_PASSWORD"] == "s3cret" for name in ALL)
    assert "s3cret" not in str([(parsed[n].get("command"), parsed[n]["healthcheck"]) for n in ALL])
    assert "requirepass" in str(parsed["redis"]["command"])


def test_our_services_reach_redis_and_the_world(parsed: dict[str, Any], ours: Service) -> None:
    """A published port and the fetching of weights need an ordinary network."""
    assert set(ours["networks"]) == {"inside", "outside"}
    assert not parsed["networks"]["outside"].get("internal")
    assert ours["environment"]["DREAM_REDIS_URL"] == "redis://redis:6379/0"


def test_pictures_and_weights_live_in_volumes(parsed: dict[str, Any], ours: Service) -> None:
    """They outlast every container, and the API and the worker mean the same ones."""
    mounts = {mount["target"]: mount["source"] for mount in ours["volumes"]}

    assert mounts == {"/data": "pictures", "/models": "models"}
    assert ours["environment"]["DREAM_DATA_DIR"] == "/data"
    assert ours["environment"]["DREAM_MODEL_DIR"] == "/models"
    assert set(parsed["volumes"]) == {"queue", "pictures", "models"}


def test_only_the_api_is_published_and_only_here(parsed: dict[str, Any]) -> None:
    """Without a word from the deployer, nobody but this host reaches it."""
    published = {name for name, service in parsed["services"].items() if service.get("ports")}
    (port,) = parsed["services"]["api"]["ports"]

    assert published == {"api"}
    assert (port["host_ip"], port["published"], port["target"]) == (LOOPBACK, "8000", 8000)
    assert parsed["services"]["api"]["environment"]["DREAM_PUBLISH"] == LOOPBACK


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.20", "::1"])
def test_publish_moves_the_port_and_tells_the_api(address: str) -> None:
    """Inside a container every address looks alike: the API learns from us where its door is."""
    api = parse(settings={"DREAM_PUBLISH": address, "DREAM_PORT": "9000"})["services"]["api"]
    (port,) = api["ports"]

    assert (port["host_ip"], port["published"], port["target"]) == (address, "9000", 8000)
    assert api["environment"]["DREAM_PUBLISH"] == address
    assert api["environment"]["DREAM_PORT"] == "8000"


def test_a_key_reaches_the_api_alone_and_no_command_line() -> None:
    """The worker fetches weights from elsewhere, and Redis needs none of it."""
    services = parse(settings={"DREAM_API_KEY": "correct-horse-battery"})["services"]

    assert services["api"]["environment"]["DREAM_API_KEY"] == "correct-horse-battery"
    assert {name for name in ALL if "correct-horse" in str(services[name])} == {"api"}
    shown = [services["api"].get("command"), services["api"]["healthcheck"]]
    assert "correct-horse" not in str(shown)


def test_a_key_in_a_file_is_a_secret_of_the_api() -> None:
    """One setting mounts it and tells the API where; the file's text is in nothing one can list."""
    parsed = parse(settings={"DREAM_API_KEY_FILE": "./secrets/api_key"})
    api = parsed["services"]["api"]
    (secret,) = api["secrets"]

    assert api["environment"]["DREAM_API_KEY_FILE"] == f"/run/secrets/{secret['source']}"
    assert parsed["secrets"][secret["source"]]["file"] == str(ROOT / "secrets" / "api_key")
    assert [name for name in ALL if "secrets" in parsed["services"][name]] == ["api"]


def test_without_a_key_a_plain_file_that_is_there_is_mounted(parsed: dict[str, Any]) -> None:
    """Compose fails where there is none, and engines that mount read-only where it is a device."""
    assert parsed["services"]["api"]["environment"]["DREAM_API_KEY_FILE"] == ""
    assert parsed["services"]["api"]["environment"]["DREAM_API_KEY"] == ""
    assert Path(parsed["secrets"]["api_key"]["file"]).is_file()


def test_the_keys_folder_is_never_committed_nor_built_in() -> None:
    """The page puts it beside the compose file, from where images are built."""
    for name in (".gitignore", ".dockerignore"):
        lines = (ROOT / name).read_text().splitlines()
        assert {"/secrets/", "*"} & set(lines), name


def test_our_images_are_built_here_or_named(parsed: dict[str, Any]) -> None:
    """`up --build` builds them; DREAM_IMAGE names others, or where to push these."""
    files = ON_GPU if "deploy" in parsed["services"]["worker"] else ON_CPU
    elsewhere = parse(files, {"DREAM_IMAGE": "registry.example/dream"})["services"]

    for name in OURS:
        build = parsed["services"][name]["build"]
        assert build["target"] == name
        assert (ROOT / build["dockerfile"]).exists()
        assert parsed["services"][name]["image"].startswith(f"torch-inception-{name}")
        assert elsewhere[name]["image"].startswith(f"registry.example/dream-{name}")


def test_redis_is_an_exact_release(parsed: dict[str, Any]) -> None:
    """Another server on the same volume is a decision, not an accident of the day."""
    assert re.search(r":\d+\.\d+\.\d+\b", parsed["services"]["redis"]["image"])


def test_a_cpu_host_may_name_an_index_of_its_own() -> None:
    """Torch's CUDA libraries are gigabytes that such a host never uses."""
    worker = parse(settings={"TORCH_INDEX_URL": "https://wheels.example"})["services"]["worker"]

    assert worker["build"]["args"]["TORCH_INDEX_URL"] == "https://wheels.example"


def test_the_worker_has_time_for_its_checkpoint(parsed: dict[str, Any]) -> None:
    """It gives its job back within 5 s of SIGTERM, while Redis, on which it waits, still runs."""
    assert seconds(parsed["services"]["worker"]["stop_grace_period"]) >= 10


def test_the_gpu_file_reserves_gpus_and_starts_a_worker_on_each() -> None:
    """All are handed in; DREAM_GPUS says which are used."""
    cpu, gpu = parse(ON_CPU)["services"], parse(ON_GPU, {"DREAM_GPUS": "0,1"})["services"]
    worker = gpu["worker"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]

    assert (device["driver"], device["capabilities"], device["count"]) == ("nvidia", ["gpu"], -1)
    assert worker["command"] == ["python", "-P", "-m", "worker.per_gpu"]
    assert worker["environment"]["DREAM_DEVICE"] == "cuda"
    assert worker["environment"]["DREAM_GPUS"] == "0,1"
    assert worker["build"]["dockerfile"] == "Dockerfile.gpu"
    assert worker["image"] != cpu["worker"]["image"]
    assert {name: gpu[name] for name in ("redis", "api")} == {
        name: cpu[name] for name in ("redis", "api")
    }
