-- A new copy that nobody reads; it vanishes unless its lease is renewed.
-- KEYS: generation. ARGV: lease in seconds.
redis.call('HSET', KEYS[1], '@staged', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 'staged'
