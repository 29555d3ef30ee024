"""The `dream` command: DreamSpec as options, a client of the HTTP face, `up` to start it all."""
