-- drop: remove dead letters for good: those named, or (with none named) what is past the bounds of age and number.
--
-- KEYS[1] the zset of dead letters. ARGV: prefix, oldest time kept in ms (0 = any), number kept (0 = any), most to drop,
-- then ids. Returns how many were dropped.

local dead, prefix = KEYS[1], ARGV[1]
local oldest, kept, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local ids = {}
for i = 5, #ARGV do ids[#ids + 1] = ARGV[i] end
if #ids == 0 then
  if oldest > 0 then ids = redis.call('ZRANGEBYSCORE', dead, '-inf', oldest, 'LIMIT', 0, most) end
  local surplus = kept > 0 and math.min(redis.call('ZCARD', dead) - kept, most) or 0
  if surplus > #ids then ids = redis.call('ZRANGE', dead, 0, surplus - 1) end
end
local dropped = 0
for _, id in ipairs(ids) do
  local key = prefix .. ':dead:' .. id
  local told = redis.call('HMGET', key, 'kind', 'body', 'holds')
  local body = told[1] == 'delivery' and told[2]
  if told[1] == 'digest' then
    local fid = string.sub(id, 8)
    redis.call('DEL', prefix .. ':frozen-lines:' .. fid)
    -- One that was buried between two steps of its fan-out holds the body.
    body = told[3] and fid
  end
  if body and redis.call('HINCRBY', prefix .. ':body:' .. body, 'refs', -1) <= 0 then
    redis.call('DEL', prefix .. ':body:' .. body)
  end
  redis.call('DEL', key)
  dropped = dropped + redis.call('ZREM', dead, id)
end
return dropped
