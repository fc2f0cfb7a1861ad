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
INSERT INTO driver_safety AS s (tenant_id, driver_id, cancel_pin, duress_pin) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, driver_id) DO UPDATE
    SET cancel_pin = excluded.cancel_pin, duress_pin = excluded.duress_pin,
        wrong_pins = greatest(s.wrong_pins - $5::integer, 0), updated_ms = now_ms()

-- name: take_try
-- A new window begins when the last one is over.
INSERT INTO driver_safety AS s (tenant_id, driver_id, wrong_pins, wrong_since_ms) VALUES ($1, $2, 1, now_ms())
ON CONFLICT (tenant_id, driver_id) DO UPDATE
    SET wrong_pins = CASE WHEN s.wrong_since_ms > now_ms() - $3 THEN s.wrong_pins + 1 ELSE 1 END,
        wrong_since_ms = CASE WHEN s.wrong_since_ms > now_ms() - $3 THEN s.wrong_since_ms ELSE now_ms() END
    WHERE s.wrong_pins < $4 OR s.wrong_since_ms <= now_ms() - $3
RETURNING wrong_pins
