-- Who changed a driver's name or number, and what it was before. Of a number its end is kept.
CREATE TABLE driver_changes (
    change_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  text NOT NULL,
    driver_id  text NOT NULL,
    at_ms      bigint NOT NULL DEFAULT now_ms(),
    actor_role text NOT NULL,
    actor_id   text NOT NULL,           -- the token's sub
    field      text NOT NULL CHECK (field IN ('name', 'phone')),
    old_value  text,
    new_value  text,
    FOREIGN KEY (tenant_id, driver_id) REFERENCES drivers ON DELETE CASCADE
);
CREATE INDEX driver_changes_of ON driver_changes (tenant_id, driver_id, change_id);
SELECT protect_by_tenant('driver_changes');
