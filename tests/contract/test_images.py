"""What the Dockerfiles promise, read instruction by instruction."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from platform import machine
from typing import Self

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "Dockerfile.gpu")
FINAL = [("Dockerfile", "api"), ("Dockerfile", "worker"), ("Dockerfile.gpu", "worker")]
PROGRAM = ["api", "cli", "dream_core", "jobs", "worker"]
BESIDE_IT = ["pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE"]


@dataclass
class Stage:
    """One FROM with what follows it: (instruction, its arguments) in order."""

    base: str
    name: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """Return the arguments of each instruction of that name."""
        return [said for name, said in self.lines if name == instruction]


@dataclass
class Dockerfile:
    """A Dockerfile's head (before the first FROM) and its stages."""

    head: list[tuple[str, str]]
    stages: dict[str, Stage]

    @classmethod
    def read(cls, file: str) -> Self:
        """Read a file of ours, which uses plain instructions in capitals."""
        text = re.sub(r"^#.*\n", "", (ROOT / file).read_text(), flags=re.MULTILINE)
        head: list[tuple[str, str]] = []
        stages: dict[str, Stage] = {}
        lines = head
        for line in text.replace("\\\n", " ").splitlines():
            name, _, said = line.strip().partition(" ")
            if name == "FROM":
                base, _, stage = said.partition(" AS ")
                stages[stage] = Stage(base, stage)
                lines = stages[stage].lines
            elif name:
                lines.append((name, said.strip()))
        return cls(head, stages)

    def shipped(self, target: str) -> list[Stage]:
        """Return the stages whose layers an image carries, the last one first."""
        stage = self.stages[target]
        return [stage, *(self.shipped(stage.base) if stage.base in self.stages else [])]


@pytest.mark.skipif(
    (sys.platform, machine()) != ("linux", "x86_64"),
    reason="hadolint is locked for Linux on x86_64 only",
)
@pytest.mark.parametrize("file", FILES)
def test_hadolint_finds_nothing(file: str) -> None:
    """Not even a matter of taste."""
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    found = subprocess.run(
        [hadolint, "--no-color", ROOT / file], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES)
def test_every_base_is_one_exact_release_that_can_be_exchanged(file: str) -> None:
    """Built next year, an image begins where it begins today; `--build-arg BASE=` moves it."""
    read = Dockerfile.read(file)
    ((_, base),) = [line for line in read.head if line[0] == "ARG"]

    assert re.fullmatch(r"BASE=python:3\.\d+\.\d+-slim-[a-z]+", base)
    assert {stage.base for stage in read.stages.values()} <= {"${BASE}", *read.stages}


@pytest.mark.parametrize(("file", "target"), FINAL)
def test_an_image_ships_what_was_built_and_not_what_built_it(file: str, target: str) -> None:
    """Its layers come from the base and from one COPY out of a stage that stays behind."""
    read = Dockerfile.read(file)
    shipped = read.shipped(target)
    copies = [said for stage in shipped for said in stage.all("COPY")]
    runs = " ".join(said for stage in shipped for said in stage.all("RUN"))

    (built,) = re.findall(r"^--from=(\w+) /opt/dream /opt/dream$", "\n".join(copies), re.MULTILINE)
    assert len(copies) == 1
    assert read.stages[built] not in shipped
    assert not re.search(r"apt|pip|gcc|build-essential|cmake|make|curl|wget", runs)


@pytest.mark.parametrize(("file", "target"), FINAL)
def test_an_image_names_its_user_program_and_origin_itself(file: str, target: str) -> None:
    """A later stage put in between changes nobody's rights."""
    shipped = Dockerfile.read(file).shipped(target)
    labels = " ".join(said for stage in shipped for said in stage.all("LABEL"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert shipped[0].all("USER") == ["10001:10001"]
    assert shipped[0].all("CMD") == [f'["python", "-P", "-m", "{target}"]']
    assert f'org.opencontainers.image.version="{version}"' in labels
    assert 'org.opencontainers.image.licenses="MIT"' in labels
    assert "org.opencontainers.image.title=" in labels


@pytest.mark.parametrize("file", FILES)
def test_the_kernel_is_compiled_where_the_program_is_installed(file: str) -> None:
    """In a stage that stays behind: its compiler comes before the program, of one exact version.

    Anywhere else an install without a kernel goes on; there it is no image.
    """
    runs = Dockerfile.read(file).stages["program"].all("RUN")
    compilers = [
        i for i, run in enumerate(runs) if re.search(r"apt-get install .* g\+\+=[\d:.-]+", run)
    ]
    programs = [i for i, run in enumerate(runs) if "--no-index /src" in run]

    assert len(compilers) == len(programs) == 1
    assert compilers < programs
    assert re.search(r"&& test -f \S+/dream_core/native/winograd\.so$", runs[programs[0]])


@pytest.mark.parametrize("file", FILES)
def test_everything_that_is_installed_is_locked(file: str) -> None:
    """But our own program, and torch from an index that a deployer named, with other files."""
    runs = [said for stage in Dockerfile.read(file).stages.values() for said in stage.all("RUN")]
    installs = [part for run in runs for part in re.findall(r"pip install ([^;]*)", run)]
    free = [words for words in installs if "--require-hashes" not in words]

    assert len(installs) - len(free) >= 1
    for words in free:
        assert "--no-index /src" in words or '--index-url "$TORCH_INDEX_URL"' in words


@pytest.mark.parametrize("file", FILES)
def test_no_image_holds_weights(file: str) -> None:
    """Their licences differ; they come to the volume at the first start."""
    stages = Dockerfile.read(file).stages.values()
    copied = [said.split()[:-1] for stage in stages for said in stage.all("COPY")]
    sources = {source for words in copied for source in words if not words[0].startswith("--from")}
    runs = " ".join(said for stage in stages for said in stage.all("RUN"))

    allowed = {*PROGRAM, *BESIDE_IT, *(f"requirements/{name}" for name in LOCKS)}
    assert sources <= allowed
    assert "models" not in runs.replace("/data /models", "")


LOCKS = ("base.txt", "torch.in", "torch.txt")


def test_the_api_has_no_torch() -> None:
    """Its image stays small and starts at once."""
    read = Dockerfile.read("Dockerfile")
    (copied,) = [said for stage in read.shipped("api") for said in stage.all("COPY")]
    built = read.shipped(copied.removeprefix("--from=").split()[0])

    assert "torch" not in " ".join(said for stage in built for _, said in stage.lines).replace(
        "torch-inception", ""
    )


def test_the_build_sees_what_it_needs_and_nothing_else() -> None:
    """.dockerignore refuses all and lets our rooms in: no .env, no picture, no .git."""
    said = (ROOT / ".dockerignore").read_text().split()

    assert said[0] == "*"
    assert {line[1:] for line in said if line.startswith("!")} == {
        *PROGRAM,
        *BESIDE_IT,
        "requirements",
    }
