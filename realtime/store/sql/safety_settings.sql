-- name: get
SELECT name, language, cancel_pin, duress_pin FROM driver_safety WHERE tenant_id = $1 AND driver_id = $2

-- name: describe
INSERT INTO driver_safety (tenant_id, driver_id, name, language) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, driver_id) DO UPDATE
    SET name = excluded.name, language = excluded.language, updated_ms = now_ms()

-- name: profile
SELECT name, phone FROM driver_safety WHERE tenant_id = $1 AND driver_id = $2

-- name: set_profile
INSERT INTO driver_safety (tenant_id, driver_id, name, phone) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, driver_id) DO UPDATE
    SET name = excluded.name, phone = excluded.phone, updated_ms = now_ms()

-- name: set_pins
INSERT INTO driver_safety (tenant_id, driver_id, cancel_pin, duress_pin) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, driver_id) DO UPDATE
    SET cancel_pin = excluded.cancel_pin, duress_pin = excluded.duress_pin, wrong_pins = 0, updated_ms = now_ms()

-- name: take_try
-- A new window begins when the last one is over.
UPDATE driver_safety
SET wrong_pins = CASE WHEN wrong_since_ms > now_ms() - $3 THEN wrong_pins + 1 ELSE 1 END,
    wrong_since_ms = CASE WHEN wrong_since_ms > now_ms() - $3 THEN wrong_since_ms ELSE now_ms() END
WHERE tenant_id = $1 AND driver_id = $2 AND (wrong_pins < $4 OR wrong_since_ms <= now_ms() - $3)
RETURNING wrong_pins
