"""A room of ten lines: says its name and pid, then does what the test asks. Run as a script."""
# ruff: noqa: T201

import os
import signal
import subprocess
import sys

name, wish = sys.argv[1:]
deaf = wish == "deaf"
goodbye = signal.SIG_IGN if deaf else lambda *_: sys.exit(print(f"{name} says goodbye", flush=True))
signal.signal(signal.SIGTERM, goodbye)
print(f"{name} runs as {os.getpid()}", flush=True)
if wish == "leave":
    sys.exit(0)
if wish == "die":
    sys.exit(f"{name} has no reason to live")
if wish == "leave-a-child":
    subprocess.Popen([sys.executable, __file__, f"{name}-child", "deaf"])
while True:
    signal.pause()
