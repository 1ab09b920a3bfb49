-- Generation, position and entities of the current copy, at one instant; nothing when it is not usable.
-- KEYS: current. ARGV: prefix of generations, fields...
local generation = redis.call('GET', KEYS[1])
if not generation then return {} end
local found = redis.call('HMGET', ARGV[1] .. generation, '@epoch', '@revision', '@at', unpack(ARGV, 2))
if not (found[1] and found[2] and found[3]) then return {} end
return {generation, unpack(found)}
