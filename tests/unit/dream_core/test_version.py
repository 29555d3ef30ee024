"""One function says which torch-inception this is."""

from importlib import metadata

import pytest

from dream_core.version import version


def test_a_checkout_that_was_never_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The API, the worker and `dream --version` give the same answer."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert version() == "unknown"

    monkeypatch.setattr(metadata, "version", lambda name: f"{name} 1.2")
    assert version() == "torch-inception 1.2"
