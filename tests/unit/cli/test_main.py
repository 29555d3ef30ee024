import os
import signal
from pathlib import Path
from typing import NoReturn

import click
import pytest

from cli import main
from dream_core.errors import DeviceMissing


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Make `dream up` raise what the test puts into the list."""
    errors: list[BaseException] = []

    @click.command()
    def fail() -> NoReturn:
        raise errors[0]

    monkeypatch.setattr(main.Dream, "get_command", lambda *_: fail)
    return errors


def test_an_error_of_ours_is_its_sentence(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no traceback; 78, as starting it again helps nobody."""
    failing.append(DeviceMissing("cuda:7", ["cpu"]))

    assert main.run(["up"]) == 78
    assert capsys.readouterr().err == "dream: there is no device 'cuda:7' here; use cpu\n"


def test_an_error_of_nobody_is_one_line_and_says_how_to_see_more(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """A user never meets a traceback unasked."""
    failing.append(RuntimeError("out of cheese"))

    assert main.run(["up"]) == 1
    quiet = capsys.readouterr().err
    assert main.run(["--debug", "up"]) == 1
    loud = capsys.readouterr().err

    assert quiet == "dream: RuntimeError: out of cheese (`dream --debug …` shows where)\n"
    assert "Traceback" in loud
    assert loud.endswith(quiet)


def test_a_file_that_cannot_be_written_is_named(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the system says, and of which file."""
    failing.append(PermissionError(13, "Permission denied", "/elsewhere/out.png"))

    assert main.run(["up"]) == 1
    assert capsys.readouterr().err == "dream: /elsewhere/out.png: Permission denied\n"


def test_ctrl_c_is_130(failing: list[BaseException]) -> None:
    """As shells count it."""
    failing.append(KeyboardInterrupt())

    assert main.run(["up"]) == 130


def test_sigterm_is_taken_like_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way is cleaned up, not cut off."""
    cleaned: list[bool] = []

    @click.command()
    def waits() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    monkeypatch.setattr(main.Dream, "get_command", lambda *_: waits)

    assert main.run(["up"]) == 130
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those whose module is imported only when they run."""
    assert main.run(["--help"]) == 0

    listed = capsys.readouterr().out
    for name in main.COMMANDS:
        assert f"\n  {name} " in listed


@pytest.mark.parametrize("wrong", [["nonsense"], ["run"], ["up", "--port", "99999"]])
def test_wrong_usage_is_2(wrong: list[str]) -> None:
    """Told apart from a command that failed."""
    assert main.run(wrong) == 2


def test_a_result_that_is_no_png_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name would promise what the file doesn't hold."""
    assert main.run(["run", str(tmp_path / "no.png"), "-o", str(tmp_path / "dream.jpg")]) == 1
    assert "name it dream.png" in capsys.readouterr().err


def test_the_status_that_a_command_ends_with_is_the_processs(tmp_path: Path) -> None:
    """`models verify` of broken weights fails a script that trusts exit statuses."""
    (tmp_path / "vgg19").mkdir()
    (tmp_path / "vgg19" / "weights.safetensors").write_bytes(b"half of it")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAM_MODEL_DIR", str(tmp_path))
        assert main.run(["models", "verify", "vgg19"]) == 1
