-- Makes a staged copy the current one, unless the present one must stay.
-- KEYS: current. ARGV: prefix of generations, name, epoch, revision, at, name of the copy it may replace.
local present = redis.call('GET', KEYS[1])
local staged = ARGV[1] .. ARGV[2]
if redis.call('HEXISTS', staged, '@staged') == 0 then
  return present == ARGV[2] and 'switched' or 'vanished'
end
if present and present ~= ARGV[6] then
  local epoch, revision, at = unpack(redis.call('HMGET', ARGV[1] .. present, '@epoch', '@revision', '@at'))
  local usable = epoch and revision and at
  if usable and (epoch ~= ARGV[3] or tonumber(revision) > tonumber(ARGV[4])) then return 'refused' end
end
redis.call('HSET', staged, '@epoch', ARGV[3], '@revision', ARGV[4], '@at', ARGV[5])
redis.call('HDEL', staged, '@staged')
redis.call('PERSIST', staged)
redis.call('SET', KEYS[1], ARGV[2])
if present then redis.call('UNLINK', ARGV[1] .. present) end
return 'switched'
