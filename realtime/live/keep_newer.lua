-- KEYS     hashes whose values begin with "<order>|"
-- ARGV     for each of them a MessagePack array: field, value; again and again. Orders are decimal integers of up
--          to 63 bits, without a sign or leading zeros, and compared as text because Redis' numbers lose digits
--          beyond 2^53.
-- Sets each field unless what is there is as new: positions by the rule of precedence.py, the rest by their order. A
-- hash goes a week after its last change.
local ENDED = '1000000000000'
local SEQ_WINDOW = 1048576

-- The order; of a position also what names its journey, its seq, and the rest.
local function parts_of(value)
  local order, journey, seq, rest = string.match(value, '^(%d+)|[^|]*|(%["[^"]*","[^"]*",%[)(%d+)(.*)$')
  return order or string.match(value, '^(%d+)|') or '', journey, seq, rest
end
local function greater(a, b)
  return #a > #b or (#a == #b and a > b)
end
local function is_ended(order)
  return #order == #ENDED - 1 and order >= '500000000000'
end
-- Exact: a time in ms has fewer than 53 bits.
local function arrival_ms(order)
  return is_ended(order) and tonumber(order) + tonumber(ENDED) or tonumber(order)
end
local function supersedes(known, offered)
  local order, journey, seq, rest = parts_of(known)
  local offered_order, offered_journey, offered_seq, offered_rest = parts_of(offered)
  if journey == nil or journey ~= offered_journey then
    return greater(offered_order, order)
  end
  if seq == offered_seq then
    if rest == offered_rest then
      return is_ended(offered_order) and not is_ended(order)
    end
    return greater(offered_order, order)
  end
  if math.abs(tonumber(offered_seq) - tonumber(seq)) > SEQ_WINDOW then
    return arrival_ms(offered_order) > arrival_ms(order)
  end
  return greater(offered_seq, seq)
end

for k = 1, #KEYS do
  local offers = cmsgpack.unpack(ARGV[k])
  for i = 1, #offers, 2 do
    local known = redis.call('HGET', KEYS[k], offers[i])
    if not known or supersedes(known, offers[i + 1]) then
      redis.call('HSET', KEYS[k], offers[i], offers[i + 1])
    end
  end
  redis.call('EXPIRE', KEYS[k], 604800)
end
return 0
