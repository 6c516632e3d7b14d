-- renew: push the due time of deliveries under lease further; returns the ids whose lease somebody else holds now.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, lease in ms, how long a permit is held in ms,
-- then id, fence pairs.

local deliveries, prefix, lease, hold = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local lost = {}
for i = 4, #ARGV, 2 do
  if redis.call('HGET', prefix .. ':delivery:' .. ARGV[i], 'fence') == ARGV[i + 1] then
    redis.call('ZADD', deliveries, 'XX', now + lease, ARGV[i])
    redis.call('ZADD', prefix .. ':permits', 'XX', now + hold, ARGV[i] .. ':' .. ARGV[i + 1])
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
