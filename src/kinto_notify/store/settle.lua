-- settle: finish, defer, return or bury deliveries, each by the holder of its lease only; but `sent` is always true.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, then per delivery: id, fence, kind
-- (sent | deferred | refused | returned), delay in ms, reply. Returns how many were settled.

local deliveries, prefix = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local settled = 0

local function release(body)
  if body and redis.call('HINCRBY', prefix .. ':body:' .. body, 'refs', -1) <= 0 then
    redis.call('DEL', prefix .. ':body:' .. body)
  end
end

for i = 2, #ARGV, 5 do
  local id, fence, kind, delay, reply = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  local key, dead = prefix .. ':delivery:' .. id, prefix .. ':dead:' .. id
  local known = redis.call('HMGET', key, 'fence', 'body')
  if kind == 'sent' then
    local where = known[1] and key or dead
    if redis.call('EXISTS', where) == 1 then
      release(redis.call('HGET', where, 'body'))
      redis.call('DEL', where)
      redis.call('ZREM', deliveries, id)
      redis.call('ZREM', prefix .. ':dead', id)
      redis.call('HINCRBY', prefix .. ':totals', 'sent', 1)
      settled = settled + 1
    end
  elseif known[1] == fence then
    settled = settled + 1
    -- The lease is over: the same settlement, told again since its answer was lost, must do nothing.
    redis.call('HINCRBY', key, 'fence', 1)
    if kind == 'returned' then
      redis.call('ZADD', deliveries, 'XX', now + delay, id)
      if reply ~= '' then redis.call('HSET', key, 'reply', reply) end
    elseif kind == 'deferred' then
      redis.call('HINCRBY', key, 'attempts', 1)
      redis.call('HSET', key, 'reply', reply, 'tried', now)
      redis.call('ZADD', deliveries, 'XX', now + delay, id)
      redis.call('HINCRBY', prefix .. ':totals', 'deferred', 1)
    else
      redis.call('HINCRBY', key, 'attempts', 1)
      redis.call('HSET', key, 'kind', 'delivery', 'reason', reply, 'when', now)
      redis.call('RENAME', key, dead)
      redis.call('ZREM', deliveries, id)
      redis.call('ZADD', prefix .. ':dead', now, id)
      redis.call('HINCRBY', prefix .. ':totals', 'refused', 1)
    end
  end
end
return settled
