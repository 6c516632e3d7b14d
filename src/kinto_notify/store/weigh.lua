-- weigh: find the dead letters that are too many bytes together; the newest are kept.
--
-- KEYS[1] the zset of dead letters. ARGV: prefix, how many of the newest were weighed before, most to look at, bytes
-- that are left for these. Returns {bytes left, or -1, how many were looked at, id of one too many...}.

local dead, prefix = KEYS[1], ARGV[1]
local from, most, left = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
-- What Redis needs for any of them, beside what is in it: keys, small fields, the places in the sets.
local FRAME = 1024
local counted, surplus = {}, {}

-- What a letter holds itself. It never changes, so it is told once.
local function weight(key, id)
  local told = redis.call('HMGET', key, 'weight', 'kind', 'entry_event', 'headers', 'recipients', 'text')
  if told[1] then return tonumber(told[1]) end
  if not told[2] then return 0 end
  local bytes = FRAME
  for i = 3, 6 do bytes = bytes + #(told[i] or '') end
  if told[2] == 'digest' then
    for _, line in ipairs(redis.call('LRANGE', prefix .. ':frozen-lines:' .. string.sub(id, 8), 0, -1)) do
      bytes = bytes + #line
    end
  end
  redis.call('HSET', key, 'weight', bytes)
  return bytes
end

local found = redis.call('ZREVRANGE', dead, from, from + most - 1)
for _, id in ipairs(found) do
  local key = prefix .. ':dead:' .. id
  if left >= 0 then
    left = left - weight(key, id)
    local body = redis.call('HGET', key, 'body')
    if body and not counted[body] then
      -- Letters of one digest share it, and stand side by side.
      counted[body] = true
      left = left - #(redis.call('HGET', prefix .. ':body:' .. body, 'bytes') or '')
    end
  end
  if left < 0 then surplus[#surplus + 1] = id end
end
return { left < 0 and -1 or left, #found, unpack(surplus) }
