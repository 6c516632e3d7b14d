-- lease: take due deliveries until a time; a lease is a due time in the future, so a crash needs no janitor.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, limit, lease in ms.
-- Returns {now, {id, fence, attempts, sender, recipient, headers, body, first, identity, smtputf8}...}.

local deliveries, prefix, limit, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local leased = { now }
for _, id in ipairs(redis.call('ZRANGEBYSCORE', deliveries, '-inf', now, 'LIMIT', 0, limit)) do
  local key = prefix .. ':delivery:' .. id
  local told = redis.call('HMGET', key, 'attempts', 'sender', 'recipient', 'headers', 'body', 'first', 'identity',
    'smtputf8')
  if told[1] then
    redis.call('ZADD', deliveries, now + lease, id)
    leased[#leased + 1] = { id, redis.call('HINCRBY', key, 'fence', 1), unpack(told) }
  else
    redis.call('ZREM', deliveries, id)
  end
end
return leased
