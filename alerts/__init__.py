"""Who must know, by when, and do they? The alert engine: docs/ALERTS.md is its description.

Pure, no clock and no I/O: `alert` (the state machine; its parts `values`, `events`, `arrows`, `shown`),
`attempt` (one try to reach one contact), `policy`, `escalation` (what is due now), `case` (all of one alert
together; `merging` of two copies), `press`, `timers`, `phone`, `pin`, `answer`.
Services on ports: ledgers (where cases live; the local one is `journal`), `delivery` (claims, sends,
records), `notifiers` (the ways out), `words` (what they say).
"""
