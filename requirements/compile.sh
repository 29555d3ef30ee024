#!/usr/bin/env bash
# Writes the hash locks anew: base (the program), torch (the engine), dev (the tests). Needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-emit-index-url "$@"; }
lock pyproject.toml -o requirements/base.txt
lock requirements/torch.in -c requirements/base.txt -o requirements/torch.txt
lock requirements/dev.in -c requirements/base.txt -o requirements/dev.txt
