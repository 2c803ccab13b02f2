"""Audiences: persons chosen by what they did, by lists of customers, or by likeness to others.

`members` keeps who is in them, `snapshot` publishes that for other processes.
"""
