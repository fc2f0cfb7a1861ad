"""Who must know, by when, and do they? The alert engine: docs/ALERTS.md is its description.

Pure, no clock and no I/O: `alert` (the state machine), `attempt` (one try to reach one contact), `policy`,
`escalation` (what is due now), `case` (all of one alert together), `press`, `timers`, `phone`, `answer`.
Services on ports: `ledger` (where cases live), `delivery` (claims, sends, records), `notifiers` (the ways out).
"""
