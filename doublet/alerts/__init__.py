"""Alerts: what leaves its usual band for that hour of the week is found, written down, and told.

`bands` judges numbers, `watch` reads them from the models, `book` remembers what was said, `tell`
says it by e-mail and webhook.
"""
