"""The HTTP face: checks what comes in, hands it to `jobs`, answers with documents. Never torch."""
