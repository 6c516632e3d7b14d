-- move: take entries off the old end of a list, and append what they became to the stream.
--
-- KEYS[1] the stream, KEYS[2] the list. ARGV: prefix, then per entry, the oldest first: as it stands in the list, as it
-- goes to the stream ('': it does not), why it is a dead letter ('': it is none).
-- Returns {taken, buried}. It ends where the list holds something else: another daemon was there.

local stream, list, prefix = KEYS[1], KEYS[2], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- The first write is one that Redis refuses when it is out of memory, so that nothing is taken and lost.
redis.call('HINCRBY', prefix .. ':totals', 'batches', 1)

local taken, buried = 0, 0
for i = 2, #ARGV, 3 do
  local stands, entry, reason = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('LINDEX', list, -1) ~= stands then break end
  if entry ~= '' then
    redis.call('XADD', stream, '*', 'v', 1, 'event', entry)
  elseif reason ~= '' then
    local dead = 'entry-list-' .. now .. '-' .. i .. '-' .. redis.call('LLEN', list)
    redis.call('HSET', prefix .. ':dead:' .. dead, 'v', 1, 'kind', 'entry', 'reason', reason, 'when', now,
      'entry_v', 1, 'entry_event', stands)
    redis.call('ZADD', prefix .. ':dead', now, dead)
    buried = buried + 1
  end
  redis.call('RPOP', list)
  taken = taken + 1
end
return { taken, buried }
