-- KEYS     hashes whose values begin with "<order>|"
-- ARGV     for each of them a MessagePack array: field, value; again and again. Orders are decimal integers of up
--          to 63 bits, without a sign or leading zeros, and compared as text because Redis' numbers lose digits
--          beyond 2^53.
-- Sets each field unless what is there is as new. A hash goes a week after its last change.
local function order_of(value)
  return string.match(value, '^(%d+)|') or ''
end
for k = 1, #KEYS do
  local offers = cmsgpack.unpack(ARGV[k])
  for i = 1, #offers, 2 do
    local known = redis.call('HGET', KEYS[k], offers[i])
    local newer = true
    if known then
      local order, offered = order_of(known), order_of(offers[i + 1])
      newer = #offered > #order or (#offered == #order and offered > order)
    end
    if newer then
      redis.call('HSET', KEYS[k], offers[i], offers[i + 1])
    end
  end
  redis.call('EXPIRE', KEYS[k], 604800)
end
return 0
