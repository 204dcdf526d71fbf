"""Benchmarks of a whole server, beside the limits of the machine they run on. See README.md."""
