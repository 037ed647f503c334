"""The transparency log: what happened, in an order that nobody can change afterwards unnoticed.

`entries` says what can be written at all; `log` appends, `storage` makes it durable; `merkle`,
`note` and `checkpoint` are the RFC 6962 and C2SP formats. `verify` checks a log from its bytes and
a public key alone, `selfcheck` what it says against itself, `crosscheck` the logs of schools and
consortium against each other, `spending` what was promised against what was released. The format,
with an example that verifies, is docs/formats/log.md.
"""
