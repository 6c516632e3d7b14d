-- freeze: take due digests out of the open ones, then lease frozen ones (fresh, or left by a crash) for composing.
--
-- KEYS[1] the zset of open digests by due time. ARGV: prefix, limit, lease in ms, growth of the interval from mail to
-- mail, bytes of lines after which no further one is leased, how many may be frozen now.
-- Returns {now, how many of a newer version were passed over, {id, fields, lines}...}; what comes for a digest after
-- this opens a new one.

-- include: due

local due, prefix, limit, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local growth, budget = tonumber(ARGV[4]), tonumber(ARGV[5])
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local frozen = prefix .. ':frozen'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A form of another major is left to the daemons that know it. It rests a moment, so that those who don't know it meet
-- others meanwhile.
local REST, newer = 5000, 0
local function known(form) return not form or string.match(form, '^%d+') == '1' end

-- Remember when this group was last mailed.
local function pace(key, first, least, most)
  local known = redis.call('HMGET', key, 'last', 'interval')
  local last, interval = tonumber(known[1]), tonumber(known[2])
  local grown = following(first, last, interval, least, most, growth)
  if grown > 0 then
    redis.call('HSET', key, 'last', now, 'interval', grown)
    redis.call('PEXPIRE', key, grown * 2)
  end
end

-- Those of a paused subscription that were open when it was paused are put off when they become due, as `file` puts off
-- the others; they must not keep the rest from being seen.
local PARKED, paused, seen = 1e14, {}, 1
for i, name in ipairs(redis.call('HGETALL', prefix .. ':paused')) do
  if i % 2 == 1 then paused[name], seen = true, 10 end
end

local room = math.min(tonumber(ARGV[6]), limit - redis.call('ZCOUNT', frozen, '-inf', now))
if room > 0 then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, room * seen)) do
    local digest, lines = prefix .. ':digest:' .. id, prefix .. ':lines:' .. id
    local told = redis.call('HMGET', digest, 'first', 'pace', 'chain', 'interval', 'max_wait', 'identity', 'flushed', 'v',
      'closed', 'collapse')
    if not known(told[8]) then
      redis.call('ZADD', due, now + REST, id)
      newer = newer + 1
    elseif told[1] and (paused['*'] or paused[told[6]]) and not told[7] then
      redis.call('ZADD', due, now + PARKED, id)
    elseif told[1] and not told[7] and open_at(numbers(told[9]), now) > now then
      -- It was due before quiet hours began, and nobody was there to take it.
      redis.call('ZADD', due, open_at(numbers(told[9]), now), id)
    elseif told[1] and room > 0 then
      room = room - 1
      -- A function of the content: events that Redis lost and that were filed anew in another way get another id, so
      -- that a Message-ID is never used for other content.
      local fid = redis.sha1hex(id .. told[3])
      if redis.call('EXISTS', prefix .. ':frozen:' .. fid) == 0 then
        pace(prefix .. ':pace:' .. told[2], tonumber(told[1]), tonumber(told[4]), tonumber(told[5]))
        redis.call('RENAME', digest, prefix .. ':frozen:' .. fid)
        if told[10] then
          local net = prefix .. ':net:' .. id
          for _, line in ipairs(redis.call('HVALS', net)) do
            redis.call('RPUSH', prefix .. ':frozen-lines:' .. fid, line)
          end
          redis.call('DEL', net)
        elseif redis.call('EXISTS', lines) == 1 then
          redis.call('RENAME', lines, prefix .. ':frozen-lines:' .. fid)
        end
        redis.call('HSET', prefix .. ':frozen:' .. fid, 'frozen', now, 'cursor', 0, 'due', redis.call('ZSCORE', due, id))
        redis.call('ZADD', frozen, now, fid)
        redis.call('ZREM', due, id)
        -- For `explain`, in one order with what was filed.
        redis.call('XADD', prefix .. ':trail', 'MAXLEN', '~', 20000, '*', 'f', fid, 'd', id, 'i', told[6])
      else
        redis.call('ZADD', due, now + lease, id)
      end
    elseif not told[1] then
      redis.call('ZREM', due, id)
    end
  end
end

local leased = { now, 0 }
for _, fid in ipairs(redis.call('ZRANGEBYSCORE', frozen, '-inf', now, 'LIMIT', 0, limit)) do
  if budget <= 0 then break end
  local key = prefix .. ':frozen:' .. fid
  if not known(redis.call('HGET', key, 'v')) then
    redis.call('ZADD', frozen, now + REST, fid)
    newer = newer + 1
  elseif redis.call('EXISTS', key) == 1 then
    redis.call('ZADD', frozen, now + lease, fid)
    redis.call('HINCRBY', key, 'fence', 1)
    local lines = redis.call('LRANGE', prefix .. ':frozen-lines:' .. fid, 0, -1)
    for _, line in ipairs(lines) do budget = budget - #line end
    leased[#leased + 1] = { fid, redis.call('HGETALL', key), lines }
  else
    redis.call('ZREM', frozen, fid)
  end
end
redis.call('EXPIRE', prefix .. ':trail', 90000)
leased[2] = newer
return leased
