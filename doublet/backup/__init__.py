"""Backups: a consistent copy of a data folder while it is served, and a data folder from a copy.

`save` makes one, `restore` reads one; `manifest` says what a backup holds.
"""
