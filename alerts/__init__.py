"""Who must know, by when, and do they? The alert engine: docs/ALERTS.md is its description.

Pure, no clock and no I/O: `alert` (the state machine; parts of it: `values`, `events`, `arrows`, `who`,
`shown`), `attempt` (one try to reach one contact; then `retry`), `policy`, `escalation` (what is due now),
`case` (all of one alert together; parts of it: `course`, `merging`, `clocks`), `press`, `timers`, `places`,
`phone`, `pin`, `answer`.
Services on ports: ledgers (where cases live; the local one is `journal`), `delivery` (claims, sends,
records), `notifiers` (the ways out), `words` (what they say).
"""
