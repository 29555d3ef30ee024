"""Commands that use the engine in this process; it is imported inside each command."""
