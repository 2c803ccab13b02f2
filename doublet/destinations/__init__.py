"""Platforms that events are relayed to: one module each, which does no I/O."""
