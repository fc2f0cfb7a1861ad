-- A claim asks channel by channel, and passes over the hosts whose share of the slots is in use.
-- Rows of a process of before have no host: whoever claims them writes it.
ALTER TABLE alert_attempts ADD COLUMN host text;  -- of a webhook: alerts.claims.host_of; null for other channels
CREATE INDEX alert_attempts_by_channel ON alert_attempts (channel, urgency, claim_ms) WHERE claim_ms IS NOT NULL;
