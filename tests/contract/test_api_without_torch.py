"""The API never loads torch: its image is small and it starts at once."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASK_EVERYTHING = """
import sys
import api.__main__
from api.app import create_app
from io import BytesIO
from pathlib import Path
from PIL import Image
from starlette.testclient import TestClient
from jobs.settings import Settings

folder = Path(sys.argv[1])
app = create_app(Settings(data_dir=folder, redis_url=None, allowed_hosts="testserver"))
picture = BytesIO()
Image.new("RGB", (64, 64)).save(picture, "PNG")
with TestClient(app, raise_server_exceptions=False) as client:
    answers = [client.get(path).status_code for path in app.openapi()["paths"]]
    answers.append(client.post("/dreams", files={"image": ("a", picture.getvalue())}).status_code)
assert answers[-1] == 503, answers
print(sorted(name for name in sys.modules if name.split(".")[0] in ("torch", "torchvision")))
"""


def test_a_started_api_has_no_torch(tmp_path: Path) -> None:
    """After every address was asked and a picture decoded, not only after the imports."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", ASK_EVERYTHING, str(tmp_path)],
        env={"PYTHONPATH": str(ROOT), "DREAM_MODEL_DIR": str(tmp_path / "models")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == "[]"
