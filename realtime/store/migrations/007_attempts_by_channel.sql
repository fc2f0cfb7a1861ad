-- A claim reads channel by channel. A migration of its own: writers wait while the table is read, readers do
-- not, as they would within the transaction of 006. docs/OPERATIONS.md says how long that takes.
CREATE INDEX alert_attempts_by_channel ON alert_attempts (channel, urgency, claim_ms) WHERE claim_ms IS NOT NULL;
