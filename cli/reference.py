"""Prints docs/reference/cli.md, made from the commands: `python -P -m cli.reference`."""

import sys
from collections.abc import Iterator
from typing import Final

import click

from cli.main import dream
from jobs.exits import BAD_SETUP, FAILED, INTERRUPTED

HEAD: Final = f"""# The command line

<!-- `python -P -m cli.reference > docs/reference/cli.md` wrote it; a test holds it to that. -->

`dream COMMAND --help` says the same. Exit status: 0 done, {FAILED} failed (the reason is one
sentence on stderr), 2 wrong usage, {BAD_SETUP} [bad set-up](settings.md#exit-status),
{INTERRUPTED} interrupted. `dream --debug COMMAND` adds the traceback of an error.

`post`, `estimate`, `ls`, `get`, `cancel`, `rm`, `retry`, `continue` and `queue` ask a running
service, at `--url` or `DREAM_URL`. What a program wants to read stands on stdout, all else on
stderr: `id=$(dream post cat.png)`.

| command | does |
|---|---|
"""


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


def page() -> str:
    """Return the reference of every command."""
    context = click.Context(dream, info_name="dream")
    commands = list(_commands(dream, context))
    summary = "".join(
        f"| [`{inner.command_path}`](#{anchor(inner.command_path)}) "
        f"| {command.get_short_help_str(200)} |\n"
        for command, inner in commands
    )
    return HEAD + summary + "".join(part for each in commands for part in _section(*each))


def anchor(heading: str) -> str:
    """Return the address of a heading on the page."""
    return heading.replace(" ", "-")


def _commands(
    group: click.Group, context: click.Context
) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None  # noqa: S101 - it is on the list
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield command, inner


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"\n## {context.command_path}\n\n```text\n{usage}\n```\n\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield f"{' '.join(paragraph.split())}\n\n"
    options = [option for option in command.params if isinstance(option, click.Option)]
    rows = [row for option in options if (row := option.get_help_record(context))]
    if rows:
        yield "| option | |\n|---|---|\n"
    for names, text in rows:
        yield f"| {_code(names)} | {text.strip().replace('|', chr(92) + '|')} |\n"


def _code(names: str) -> str:
    return f"`{names.replace('|', chr(92) + '|')}`"


if __name__ == "__main__":
    main()
