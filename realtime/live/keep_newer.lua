-- KEYS[1]  a hash whose values begin with "<order>|"
-- ARGV     field, order, value; again and again. Orders are decimal integers of up to 63 bits, without a sign
--          or leading zeros, and compared as text because Redis' numbers lose digits beyond 2^53.
-- Sets each field unless what is there is as new. The hash goes a week after its last change.
for i = 1, #ARGV, 3 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local newer = true
  if known then
    local order = string.match(known, '^(%d+)|') or ''
    local offered = ARGV[i + 1]
    newer = #offered > #order or (#offered == #order and offered > order)
  end
  if newer then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
  end
end
redis.call('EXPIRE', KEYS[1], 604800)
return 0
