-- prefer: change what a recipient wants of a subscription's mails, or forget it.
--
-- KEYS[1] the zset of recipients with wishes, by their last change. ARGV: prefix, the address's fingerprint, the
-- subscription's key ('*': all), its identity ('' if unknown), act (on | off | daily | mute | show | forget), for how
-- long to mute in ms.
-- Returns {now, what is kept now or '', the identity that is known of the subscription or '', what is kept of all
-- subscriptions or ''}. `forget` forgets all wishes of the recipient.

local inboxes, prefix, who, key, identity, act, span = KEYS[1], unpack(ARGV)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local inbox = prefix .. ':inbox:' .. who
-- Ten years after its last change a wish is forgotten; a mute when it is over.
local LONG = 315360000000

local kept = redis.call('HGET', inbox, key) or ''
if identity == '' then
  identity = string.match(kept, '^%a+ %d+ (.+)$') or redis.call('HGET', prefix .. ':subscription:' .. key, 'identity') or ''
end
local every = redis.call('HGET', inbox, '*') or ''
if act == 'show' then return { now, kept, identity, every } end

-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory.
redis.call('DEL', prefix .. ':none')
-- For intake, which looks at `meta` to see whether it has to read them anew.
local dailies = prefix .. ':dailies'
local function daily(pair, wanted)
  local changed = wanted and redis.call('ZADD', dailies, now, pair) or redis.call('ZREM', dailies, pair)
  if changed == 1 then redis.call('HSET', prefix .. ':meta', 'dailies', now) end
end

if act == 'forget' then
  for i, name in ipairs(redis.call('HGETALL', inbox)) do
    if i % 2 == 1 then daily(name .. ':' .. who, false) end
  end
  redis.call('DEL', inbox)
  redis.call('ZREM', inboxes, who)
  return { now, '', '', '' }
end
local wish = string.match(kept, '^%a+') or 'on'
local muted = 0
if act == 'mute' then muted = now + tonumber(span) else wish = act end
if wish == 'on' and muted == 0 then
  kept = ''
  redis.call('HDEL', inbox, key)
else
  kept = wish .. ' ' .. string.format('%.0f', muted) .. ' ' .. identity
  redis.call('HSET', inbox, key, kept)
end
daily(key .. ':' .. who, wish == 'daily')

local rest, left = 0, redis.call('HGETALL', inbox)
for i = 2, #left, 2 do
  local one, till = string.match(left[i], '^(%a+) (%d+)')
  if one == 'on' and tonumber(till) <= now then
    redis.call('HDEL', inbox, left[i - 1])
  else
    rest = math.max(rest, one == 'on' and tonumber(till) - now or LONG)
  end
end
if rest > 0 then
  redis.call('PEXPIRE', inbox, rest)
  redis.call('ZADD', inboxes, now, who)
else
  redis.call('ZREM', inboxes, who)
end
-- Those whose last mute is over are in the list no longer than until others come.
for _, one in ipairs(redis.call('ZRANGE', inboxes, 0, 9)) do
  if redis.call('EXISTS', prefix .. ':inbox:' .. one) == 0 then redis.call('ZREM', inboxes, one) end
end
return { now, kept, identity, key == '*' and kept or every }
