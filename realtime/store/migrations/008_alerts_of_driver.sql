-- A press reads the place of its driver's last alert: without this, the alerts of the whole tenant.

CREATE INDEX alerts_of_driver ON alerts (tenant_id, driver_id, raised_ms DESC);
