"""The only place where a job meets the engine."""
