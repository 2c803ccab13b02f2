"""The live feed: what has just arrived, shown before it is loaded.

`feed` follows the log's tail and remembers a little, `listening` serves one listener, `rows` says
what is shown of a record, `warnings` puts flags in words, `statuses` asks the models what became of
a copy. No value of user data leaves this package.
"""
