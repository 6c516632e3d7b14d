-- revive: a dead letter is tried again, as new. KEYS[1] the zset of dead letters. ARGV: prefix, id, stream.
-- Returns the kind, or nil if there is no such dead letter.

local dead, prefix, id, stream = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local key = prefix .. ':dead:' .. id
local kind = redis.call('HGET', key, 'kind')
if not kind then return nil end
if kind == 'entry' then
  local entry = redis.call('HMGET', key, 'entry_v', 'entry_event')
  -- One that had become too old would be buried again at once.
  redis.call('XADD', stream, '*', 'v', entry[1], 'event', entry[2], 'again', 1)
  redis.call('DEL', key)
elseif kind == 'digest' then
  local fid = string.sub(id, 8)
  redis.call('HDEL', key, 'kind', 'reason', 'when')
  redis.call('RENAME', key, prefix .. ':frozen:' .. fid)
  redis.call('ZADD', prefix .. ':frozen', now, fid)
else
  -- What was too big is tried with its details again: the relay may take more now.
  if redis.call('HEXISTS', key, 'summary') == 1 then redis.call('HSET', key, 'summary', 0) end
  -- Its age begins anew: one that had become too old would be buried again at once.
  redis.call('HDEL', key, 'kind', 'reason', 'when')
  redis.call('HSET', key, 'attempts', 0, 'first', now)
  redis.call('RENAME', key, prefix .. ':delivery:' .. id)
  redis.call('ZADD', prefix .. ':deliveries', now, id)
end
redis.call('ZREM', dead, id)
return kind
