-- A claim passes over the hosts of webhooks whose slots are all in use.
-- Rows that a process of an earlier release writes have no host: the process that claims them adds it.
-- The lock excludes every reader and writer of the table, but adding a column without a default is immediate.
ALTER TABLE alert_attempts ADD COLUMN host text;  -- of a webhook: alerts.claims.host_of; null for other channels
