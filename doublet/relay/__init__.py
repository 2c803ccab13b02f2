"""The relay: events of the tables, to platforms, once.

worker: `fill`  tables → outbox: a row per (destination, event) when it is due
relay:  `loop`  outbox → `destinations` → platform; what it answered → outbox
"""
