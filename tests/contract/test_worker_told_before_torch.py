"""A worker says that it is starting before it loads torch, which takes seconds."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
START = """
import sys
from pathlib import Path
import worker.__main__
from jobs.settings import Settings
from worker import room

def told(self):
    print(self.presence.state, sorted(name for name in sys.modules if name == "torch"))
    sys.exit(0)

room.Heartbeat.start = told
room.run(Settings(data_dir=Path(sys.argv[1])))
"""


def test_a_worker_is_known_to_start_before_it_loads_torch(tmp_path: Path) -> None:
    """Else `/readyz`, and a job that waits, would say for seconds that no worker is up."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", START, str(tmp_path)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == "starting []"
