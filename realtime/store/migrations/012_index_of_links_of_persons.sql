-- By itself: the table is read while the index is built.
CREATE INDEX shares_of_driver ON shares (tenant_id, driver_id) WHERE driver_id IS NOT NULL;
