-- resubscribe: forget what relays said of an address, so that mail to it goes out.
--
-- KEYS[1] the zset of recipients. ARGV: prefix, the address's fingerprint. Returns 1 if it was suppressed.

local recipients, prefix, who = KEYS[1], ARGV[1], ARGV[2]
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory.
redis.call('DEL', prefix .. ':none')
local key = prefix .. ':recipient:' .. who
local was = redis.call('HEXISTS', key, 'suppressed')
redis.call('DEL', key)
redis.call('ZREM', recipients, who)
return was
