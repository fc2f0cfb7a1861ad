"""Delivery: due attempts are claimed, sent through their provider, and what became of them is recorded.

`breaker` (is a provider worth asking?), `ways` (a notifier with its breaker and its slots), `trying` (one
claimed attempt, from the look-up to the outcome), `recorder` (outcomes that must not be lost), `dispatcher`
(the loop). docs/ALERTS.md, "Delivery", is the description.
"""
