-- A part of a staged copy. Refused once it has vanished: what was written before would be missing from it.
-- KEYS: generation. ARGV: lease in seconds, field, value...
if redis.call('HEXISTS', KEYS[1], '@staged') == 0 then return 'vanished' end
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 'written'
