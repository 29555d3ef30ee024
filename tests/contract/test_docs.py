"""Our pages: every command is one that exists, every link leads somewhere."""

import json
import re
import subprocess
from itertools import chain
from pathlib import Path

import click
import pytest

from api.app import create_app
from cli.main import dream
from jobs.settings import Settings
from tests.pages import PAGES, ROOT, Block, blocks, spoken

BLOCKS = list(chain.from_iterable(blocks(page) for page in PAGES))
SHELL = [block for block in BLOCKS if block.language == "sh"]
SPOKEN = sorted(set(chain.from_iterable(spoken(page) for page in PAGES)))
# What isn't typed: drawings and files of other programs.
SHOWN = {"text", "json", "python", "ini", "yaml", "nginx", "caddy"}


def at(block: Block) -> str:
    """Name a block by where it stands."""
    return f"{block.page}:{block.line}"


def known(words: list[str]) -> None:
    """Let our own parser read a command of ours; values that stand for a reader's are fine."""
    command: click.Command = dream
    context = click.Context(dream, info_name="dream")
    while isinstance(command, click.Group):
        rest = [word for word in words if not word.startswith("-")]
        if not rest:
            break
        name = rest[0]
        found = command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        command, words = found, words[words.index(name) + 1 :]
        context = click.Context(command, info_name=name, parent=context)
    if not isinstance(command, click.Group) and not command.ignore_unknown_options:
        command.make_parser(context).parse_args(words)


def test_there_is_something_to_hold() -> None:
    """Pages that are laid out anew still count."""
    assert len(PAGES) > 15
    assert len(SHELL) > 10


@pytest.mark.parametrize("block", BLOCKS, ids=at)
def test_a_block_says_what_it_is(block: Block) -> None:
    """A block without a language would be held by nothing."""
    assert block.language in {"sh", *SHOWN}


@pytest.mark.parametrize("block", SHELL, ids=at)
def test_the_shell_can_read_a_block(block: Block) -> None:
    """What is pasted is at least no error of syntax."""
    subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)


@pytest.mark.parametrize("block", SHELL, ids=at)
def test_every_command_of_ours_exists(block: Block) -> None:
    """With each of its options."""
    for words in block.commands():
        if Path(words[0]).name == "dream":
            known(words[1:])


@pytest.mark.parametrize(
    "said", [each for each in SPOKEN if each.startswith("dream ") and "…" not in each]
)
def test_every_command_in_a_sentence_exists(said: str) -> None:
    """`dream get ID --wait`: the option too."""
    words = said.split()[1:]
    if "COMMAND" not in words:
        known(words)


def test_every_make_target_exists() -> None:
    """In blocks and in sentences."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    typed = [words[1] for block in SHELL for words in block.commands() if words[0] == "make"]
    said = [each.split()[1] for each in SPOKEN if re.match(r"make [a-z]", each)]

    assert {*typed, *said} <= targets


def test_every_address_asked_is_a_route(tmp_path: Path) -> None:
    """What a reader sends with curl goes where the API listens."""
    routes = create_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    patterns = [re.sub(r"\{\w+\}", r"[^/]+", path) for path in routes]
    asked = {
        re.sub(r"^http://[\w.:]+|\?.*$", "", word)
        for block in SHELL
        for words in block.commands()
        if words[0] == "curl"
        for word in words
        if word.startswith("http://127.0.0.1:8000")
    }

    assert asked
    assert [each for each in asked if not any(re.fullmatch(p, each) for p in patterns)] == []


def test_every_json_shown_is_json() -> None:
    """An example that can be pasted."""
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    """Within the repository; the rest of the world is not ours to hold."""
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    inside = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in inside if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_has_a_merge_in_it(page: Path) -> None:
    """Marks that git leaves for somebody to decide, and that a table hides well."""
    assert re.findall(r"^(?:<{7}|={7}|>{7})", page.read_text("utf-8"), re.MULTILINE) == []
