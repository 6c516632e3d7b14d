-- flush: make open digests due now, whoever is paused; or throw them away.
--
-- KEYS[1] the zset of open digests by due time. ARGV: prefix, identity of the subscription (* = any), discard (0 or 1),
-- then ids of digests. Returns {digests, changes} that were meant and still open.

local due, prefix, identity, discard = KEYS[1], ARGV[1], ARGV[2], ARGV[3] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local digests, changes = 0, 0
for i = 4, #ARGV do
  local id = ARGV[i]
  local key = prefix .. ':digest:' .. id
  local told = redis.call('HMGET', key, 'identity', 'changes')
  if told[1] and (identity == '*' or identity == told[1]) then
    digests, changes = digests + 1, changes + (tonumber(told[2]) or 0)
    if discard then
      redis.call('DEL', key, prefix .. ':lines:' .. id, prefix .. ':net:' .. id)
      redis.call('ZREM', due, id)
    else
      -- What is filed before it is frozen must not put it off again.
      redis.call('HSET', key, 'flushed', now)
      redis.call('ZADD', due, 'XX', now, id)
    end
  end
end
if discard then redis.call('HINCRBY', prefix .. ':totals', 'discarded', changes) end
return { digests, changes }
