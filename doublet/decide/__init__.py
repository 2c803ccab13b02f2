"""The deciders: `POST /v1/decide` chooses ads, `/v1/i` and `/v1/c` take their impressions and
clicks.

Plain ASGI callables, like the collector's. A decider maps what the worker publishes (book, models,
audiences), holds leases on budgets, and writes to a slot of the log of its own; whatever it answers
is durable. It goes on deciding while the worker is away. This package imports neither DuckDB nor
Delta nor scikit-learn.
"""
