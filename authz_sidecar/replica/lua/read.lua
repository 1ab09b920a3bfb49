-- Generation, position and entities of the current copy, at one instant; nothing when it is not usable.
-- KEYS: current. ARGV: prefix of generations, fields...
-- In parts: Lua's stack has no room for the fields of a user in thousands of groups.
local generation = redis.call('GET', KEYS[1])
if not generation then return {} end
local key = ARGV[1] .. generation
local epoch, revision, at = unpack(redis.call('HMGET', key, '@epoch', '@revision', '@at'))
if not (epoch and revision and at) then return {} end
local answer = {generation, epoch, revision, at}
for first = 2, #ARGV, 1000 do
  local last = math.min(first + 999, #ARGV)
  local values = redis.call('HMGET', key, unpack(ARGV, first, last))
  for i = 1, last - first + 1 do
    answer[first + 2 + i] = values[i]
  end
end
return answer
