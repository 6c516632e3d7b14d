-- bury: a frozen digest that cannot be composed becomes a dead letter, by the holder of its lease only.
--
-- KEYS[1] the zset of dead letters. ARGV: prefix, frozen id, fence, reason. Returns 1, or 0 with an old fence.

local dead, prefix, fid, fence, reason = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local key, id = prefix .. ':frozen:' .. fid, 'digest-' .. fid
if redis.call('HGET', key, 'fence') ~= fence then return 0 end
redis.call('HSET', key, 'kind', 'digest', 'reason', reason, 'when', now)
redis.call('RENAME', key, prefix .. ':dead:' .. id)
redis.call('ZREM', prefix .. ':frozen', fid)
redis.call('ZADD', dead, now, id)
return 1
