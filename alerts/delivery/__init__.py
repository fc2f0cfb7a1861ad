"""Delivery: due attempts are claimed, sent through their provider, and their outcomes are recorded.

`breaker` (is a provider worth asking?), `slots` and `budget` (how many messages may be sent), `ways` (a
notifier with its breaker, slots and budgets), `reservation` (the slots of one claim), `trying` (one claimed
attempt, from the look-up to the outcome), `recorder` (outcomes that must not be lost), `dispatcher` (the
loop). docs/ALERTS.md, "Delivery", is the description.
"""
