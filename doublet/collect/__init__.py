"""The front door: `/tr`, `/px`, `/vN.N/<pixel_id>/events`, the scripts and `/health`.

Plain ASGI callables. An answer is sent only after its record is on the disk. Everything else is
handed to the worker over a local socket, and the hot paths answer without one. This package
imports neither DuckDB nor Delta.
"""
