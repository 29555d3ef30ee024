"""Commands that ask a running service: post, estimate, ls, get, cancel, rm, queue and more."""
