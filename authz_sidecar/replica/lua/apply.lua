-- One revision: all its entities and the new position together, or nothing.
-- KEYS: current, generation. ARGV: name, epoch, revision before, at before, revision, at, field, value...
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'not_current' end
local epoch, revision, at = unpack(redis.call('HMGET', KEYS[2], '@epoch', '@revision', '@at'))
if not (epoch and revision and at) then return 'not_current' end
if epoch == ARGV[2] and tonumber(revision) >= tonumber(ARGV[5]) then return 'duplicate' end
if epoch ~= ARGV[2] or revision ~= ARGV[3] or at ~= ARGV[4] then return 'gap' end
for i = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
redis.call('HSET', KEYS[2], '@revision', ARGV[5], '@at', ARGV[6])
return 'applied'
