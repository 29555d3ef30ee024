"""What only a GPU shows: chosen by `-m gpu`, and then not skipped where there is none."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark all tests of this folder; deselect them where nobody has asked for them."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker("gpu")
    if "gpu" not in config.option.markexpr:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]
