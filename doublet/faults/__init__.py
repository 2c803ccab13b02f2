"""A bad network before the collectors, to test clients with: `doublet serve --faults FILE`.

`plan` reads the file and decides each request's fate, `answers` makes the answers that the
collectors never see, `front` listens on the public port and does it.
"""
