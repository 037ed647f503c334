"""The transparency log: what happened, in an order that nobody can change afterwards unnoticed.

`entries` says what can be written at all, `log` appends durably, `merkle`, `note` and `checkpoint`
are the C2SP and RFC 6962 formats, `verify` checks a log from its bytes and public keys alone, and
`crosscheck` holds the logs of schools and consortium against each other.
"""
