"""What the doctor finds, as people and programs read it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    said: str
    fix: str = ""  # what to do; empty where all is well

    def __str__(self) -> str:
        """Return the line, or two, that a person reads."""
        line = f"{'!!' if self.fix else 'ok'}  {self.name:<8} {self.said}"
        return f"{line}\n             → {self.fix}" if self.fix else line

    @property
    def document(self) -> dict[str, str | bool | None]:
        """Return what a program reads."""
        return {
            "name": self.name,
            "ok": not self.fix,
            "said": self.said,
            "fix": self.fix or None,
        }
