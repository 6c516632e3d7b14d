"""Inside Kinto: committed changes on their way to the Redis stream.

`settings` reads the listener's settings, `capture` turns a Kinto event into encoded changes, `joined` binds them to
the transaction, `split` makes stream entries of them, `spool` keeps those on disk until `stream` has published them.
"""
