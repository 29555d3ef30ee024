"""`python -P -m cli` is `dream`, where the command itself isn't on the PATH."""

from cli.main import main

main()
