-- erase: throw deliveries away, and change who gets an open digest.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, number of deliveries, their ids, then per open digest: its
-- id, the recipients as they were read, the recipients that are left ('': nobody, so it goes). One that was changed
-- meanwhile stays as it is. Returns {deliveries, digests}.

local deliveries, prefix, count = KEYS[1], ARGV[1], tonumber(ARGV[2])
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory.
redis.call('DEL', prefix .. ':none')
local gone, changed = 0, 0
for i = 3, 2 + count do
  local key = prefix .. ':delivery:' .. ARGV[i]
  local body = redis.call('HGET', key, 'body')
  gone = gone + redis.call('DEL', key)
  redis.call('ZREM', deliveries, ARGV[i])
  if body and redis.call('HINCRBY', prefix .. ':body:' .. body, 'refs', -1) <= 0 then
    redis.call('DEL', prefix .. ':body:' .. body)
  end
end
for i = 3 + count, #ARGV, 3 do
  local id, left = ARGV[i], ARGV[i + 2]
  local key = prefix .. ':digest:' .. id
  if redis.call('HGET', key, 'recipients') == ARGV[i + 1] then
    if left ~= '' then
      redis.call('HSET', key, 'recipients', left)
    else
      redis.call('DEL', key, prefix .. ':lines:' .. id, prefix .. ':net:' .. id)
      redis.call('ZREM', prefix .. ':due', id)
    end
    changed = changed + 1
  end
end
return { gone, changed }
