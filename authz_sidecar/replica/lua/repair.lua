-- Overwrites entities of the current copy if it still stands exactly where it was compared.
-- KEYS: current, generation. ARGV: name, epoch, revision, at, field, value...
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'moved' end
local epoch, revision, at = unpack(redis.call('HMGET', KEYS[2], '@epoch', '@revision', '@at'))
if epoch ~= ARGV[2] or revision ~= ARGV[3] or at ~= ARGV[4] then return 'moved' end
for i = 5, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
end
return 'repaired'
