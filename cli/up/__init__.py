"""The supervisor: every room of the service under one roof."""
