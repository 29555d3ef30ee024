"""The blocks and commands of our pages, as a reader finds them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SPACED = re.compile(r"```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its first line says it is, and its text."""

    page: str
    line: int
    language: str
    not_run: str  # why no test runs it: "```sh not run: needs Docker"
    text: str

    def commands(self) -> Iterator[list[str]]:
        """Give the words of each command, of each part of a pipe."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words:
                end = next((at for at, word in enumerate(words) if word in {"|", "&&"}), None)
                yield words[:end]
                words = words[end + 1 :] if end is not None else []


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    found, name = [], page.relative_to(ROOT).as_posix()
    text = page.read_text("utf-8")
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        language, _, rest = match[1].partition(" ")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(name, line, language, rest.removeprefix("not run: "), match[2]))
    return found


def spoken(page: Path) -> list[str]:
    """Return what a page sets in code within its sentences."""
    return re.findall(r"`([^`\n]+)`", SPACED.sub("", page.read_text("utf-8")))
