"""Commands that ask a running service: post, ls, get, cancel, rm, retry, continue, queue."""
