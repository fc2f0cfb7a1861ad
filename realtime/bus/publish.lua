-- ARGV[1]  the command: PUBLISH, or SPUBLISH on a Cluster
-- ARGV[2]  a MessagePack array: channel, message; again and again
-- Publishes in order. Returns the places (from 0) of what was refused: on a Cluster, because another node has the
-- slot. One call for hundreds of messages costs the caller a fraction of as many commands and replies.
local said = cmsgpack.unpack(ARGV[2])
local refused = {}
for i = 1, #said, 2 do
  local answer = redis.pcall(ARGV[1], said[i], said[i + 1])
  if type(answer) == 'table' then
    refused[#refused + 1] = (i - 1) / 2
  end
end
return refused
