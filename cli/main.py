"""The `dream` command: its subcommands, and the one place where errors become sentences."""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from dream_core.errors import DreamError
from dream_core.version import version
from jobs import exits

# A command's module is imported when it is asked for: `dream up` needs no engine, and
# `dream --help` is there at once.
COMMANDS = {
    "up": ("cli.up.command", "up"),
    "demo": ("cli.demo", "demo"),
    "post": ("cli.remote.post", "post"),
    "estimate": ("cli.remote.estimate", "estimate"),
    "ls": ("cli.remote.ls", "ls"),
    "get": ("cli.remote.get", "get"),
    "cancel": ("cli.remote.moves", "cancel"),
    "rm": ("cli.remote.moves", "rm"),
    "retry": ("cli.remote.moves", "retry"),
    "continue": ("cli.remote.moves", "continue_"),
    "queue": ("cli.remote.queue", "queue"),
    "run": ("cli.local.run", "run"),
    "classic": ("cli.local.classic", "classic"),
    "models": ("cli.local.models", "models"),
    "doctor": ("cli.local.doctor", "doctor"),
}
# Asked to end, or the terminal was closed.
ENDING = (signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """A signal to end, taken like Ctrl-C: what is under way is cleaned up."""


class Dream(click.Group):
    """Finds a command's module by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's face
        """Return the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - an entry of our own table
        return command


@click.group(cls=Dream, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), message="torch-inception %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def dream(debug: bool) -> None:
    """Make a neural network dream on a picture.

    Exit status: 0 done, 1 failed (the reason is on stderr), 2 wrong usage, 78 bad set-up (which
    setting, and the fix, is on stderr), 130 interrupted.
    """
    _ = debug  # read from sys.argv by `main`, which also answers errors before this runs


def main() -> None:
    """Run `dream`; whatever goes wrong is one sentence on stderr and an exit status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run `dream` with these arguments and return the exit status."""
    try:
        with _signals_interrupt():
            # Not standalone, click hands back the status of an Exit, and what a command returns.
            status = dream.main(arguments, prog_name="dream", standalone_mode=False)
    except BaseException as error:
        return _answer(error, debug="--debug" in arguments)
    return status if isinstance(status, int) else 0


def _answer(error: BaseException, debug: bool) -> int:
    """Say what went wrong, in a sentence, and return the exit status."""
    status = exits.FAILED
    match error:
        case click.exceptions.Exit():
            status = error.exit_code
        case SystemExit():  # argparse's -help
            status = error.code if isinstance(error.code, int) else 0
        case click.ClickException():
            error.show()
            status = error.exit_code
        case KeyboardInterrupt() | click.Abort():
            click.echo("dream: interrupted", err=True)
            status = exits.INTERRUPTED
        case BrokenPipeError():
            # Whoever read our output (`| head`) has enough; Python would complain at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        case DreamError():
            status = exits.status_of(error)
            _explain(str(error), debug)
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            _explain(f"{where}{error.strerror}", debug)
        case _:
            reason = f"{type(error).__name__}: {error}"
            _explain(f"{reason} (`dream --debug …` shows where)", debug)
    return status


def _explain(sentence: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(f"dream: {sentence}", err=True)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup wants it ignored
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
