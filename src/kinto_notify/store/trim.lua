-- trim: remove entries that we have filed and that every other group has read and acknowledged, or that are too old.
--
-- Never by a bound alone: an entry whose consumer somebody deleted is below every bound, and nobody has filed it.
-- KEYS[1] the stream. ARGV: prefix, group, how long in ms others may be behind, most to remove. Returns how many.

local stream, prefix, group = KEYS[1], ARGV[1], ARGV[2]
local keep, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')

local function parts(id)
  local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

-- The others have all of what is below (ms, sequence).
local ms, sequence = now + 86400000, 0
for _, told in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local one = {}
  for i = 1, #told, 2 do one[told[i]] = told[i + 1] end
  if one['name'] ~= group then
    local low = redis.call('XPENDING', stream, one['name'])[2]
    local low_ms, low_sequence = parts(low or one['last-delivered-id'])
    if not low then low_sequence = low_sequence + 1 end
    if low_ms < ms or (low_ms == ms and low_sequence < sequence) then ms, sequence = low_ms, low_sequence end
  end
end
if now - keep > ms then ms, sequence = now - keep, 0 end

local known = prefix .. ':filed'
local gone = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', known, '-inf', ms, 'LIMIT', 0, most)) do
  local id_ms, id_sequence = parts(id)
  if id_ms < ms or id_sequence < sequence then gone[#gone + 1] = id end
end
if #gone > 0 then
  redis.call('XDEL', stream, unpack(gone))
  redis.call('ZREM', known, unpack(gone))
end
return #gone
