"""Write `caffe_pb2.py` and `caffe_pb2.pyi` from `caffe.proto`; needs grpcio-tools.

python dream_core/weights/caffe/compile.py [FOLDER]
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def compile_proto(folder: Path) -> None:
    """Write both generated files into a folder."""
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={HERE}"),
            *(f"--python_out={folder}", f"--pyi_out={folder}", "caffe.proto"),
        ],
        check=True,
    )


if __name__ == "__main__":
    compile_proto(Path(sys.argv[1]) if sys.argv[1:] else HERE)
