"""The archive of the revision log: written from the feed, read by whoever asks about the past.

An archive is JSON lines, in one file or in a folder of files in the order of their names: `change` messages
as the User service sends them, in their order, and whole snapshots (a `snapshot` line, a line for each
entity, an `end` line) where a history starts, jumps, or is taken up by another file. Each `change` and
`snapshot` line also has `archived_at`: since when it was so, in Unix seconds on the archiver's clock
(docs/archive.md).

A live log is not enough: pruning and restored backups destroy what decisions were made from.
"""
