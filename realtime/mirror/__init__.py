"""The Firebase mirror: positions, open journeys and open alerts in a Realtime Database. See docs/MIRROR.md.

`keys` (names Firebase can hold), `nodes` (what is to be there), `plan` (what differs, latest wins), `reader`
(Redis), `remote` (the database, by its official client), `mirror` (the worker), `erasure` (a driver removed).
"""
