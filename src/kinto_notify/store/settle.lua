-- settle: finish, defer, return or bury deliveries, each by the holder of its lease only; but `sent` is always true.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, the rate's count and window in ms (0, 0: none), then per
-- delivery: id, fence, kind (sent | deferred | summarised | refused | unknown | returned |
-- throttled | unwanted), delay in ms, reply.
-- Returns how many were settled.

-- include: chunks

local deliveries, prefix, count, window = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local settled, sent, throttled = 0, 0, false
local permits, throttle = prefix .. ':permits', prefix .. ':throttle'
local limited = count > 0 or redis.call('EXISTS', throttle) == 1

local function release(body)
  if body and redis.call('HINCRBY', prefix .. ':body:' .. body, 'refs', -1) <= 0 then
    redis.call('DEL', prefix .. ':body:' .. body)
  end
end

-- Nobody has this address, says the relay: after the second delivery it is suppressed, until 30 days after the last.
local function nobody(id, recipient, reply)
  local who, kept = string.match(id, '[^:]*$'), 30 * 86400000
  local key = prefix .. ':recipient:' .. who
  local known = redis.call('HMGET', key, 'unknown', 'delivery')
  -- One that was tried again by hand is no second one.
  if known[2] == id then return end
  local times = (tonumber(known[1]) or 0) + 1
  redis.call('HSET', key, 'v', 1, 'address', recipient, 'unknown', times, 'delivery', id, 'reply', reply, 'when', now)
  if times >= 2 then redis.call('HSETNX', key, 'suppressed', now) end
  redis.call('PEXPIRE', key, kept)
  redis.call('ZREMRANGEBYSCORE', prefix .. ':recipients', '-inf', now - kept)
  redis.call('ZADD', prefix .. ':recipients', now, who)
  redis.call('PEXPIRE', prefix .. ':recipients', kept)
end

local gone = {}

local function outcome(id, field, told)
  -- For `explain`: of what is over nothing else is left.
  redis.call('XADD', prefix .. ':outcomes', 'MAXLEN', '~', 20000, '*', 'd', id, field, told)
end

-- A relay that took a mail knows the address.
local function forgive(who)
  if redis.call('DEL', prefix .. ':recipient:' .. who) == 1 then redis.call('ZREM', prefix .. ':recipients', who) end
end

-- Told by whoever it is, it is true: of a lease that is over, of a dead letter.
local function done(id, key, known, reply)
  local body = known[2]
  if not known[1] then
    local dead = prefix .. ':dead:' .. id
    if redis.call('EXISTS', dead) == 0 then return end
    key, body = dead, redis.call('HGET', dead, 'body')
    redis.call('ZREM', prefix .. ':dead', id)
  end
  release(body)
  -- At once, not with the others: it may be told twice in one batch.
  redis.call('DEL', key)
  gone[#gone + 1] = id
  outcome(id, 'r', string.sub(reply, 1, 200))
  settled = settled + 1
end

for i = 4, #ARGV, 5 do
  local id, fence, kind, delay, reply = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  local key, dead = prefix .. ':delivery:' .. id, prefix .. ':dead:' .. id
  local known = redis.call('HMGET', key, 'fence', 'body', 'recipient')
  if limited and (kind == 'returned' or kind == 'unwanted') then
    redis.call('ZREM', permits, id .. ':' .. fence)
  elseif limited and kind == 'sent' then
    -- From now on its window runs, whether it was this lease or a lost one that sent it.
    redis.call('ZADD', permits, now, id .. ':' .. fence)
  elseif limited then
    -- So does that of one the relay was asked about. What was withheld has no permit, and takes none from the others.
    redis.call('ZADD', permits, 'XX', now, id .. ':' .. fence)
  end
  throttled = throttled or kind == 'throttled'
  if kind == 'sent' then
    sent = sent + 1
    forgive(string.match(id, '[^:]*$'))
    done(id, key, known, reply)
  elseif known[1] == fence then
    settled = settled + 1
    -- The lease is over: the same settlement, told again since its answer was lost, must do nothing.
    redis.call('HINCRBY', key, 'fence', 1)
    if kind == 'returned' or kind == 'throttled' then
      redis.call('ZADD', deliveries, 'XX', now + delay, id)
      if reply ~= '' then redis.call('HSET', key, 'reply', reply) end
    elseif kind == 'unwanted' then
      release(known[2])
      redis.call('DEL', key)
      redis.call('ZREM', deliveries, id)
      redis.call('HINCRBY', prefix .. ':totals', 'unwanted', 1)
      outcome(id, 'u', reply)
    elseif kind == 'deferred' or kind == 'summarised' then
      if kind == 'summarised' then redis.call('HSET', key, 'summary', 1) end
      redis.call('HINCRBY', key, 'attempts', 1)
      redis.call('HSET', key, 'reply', reply, 'tried', now)
      redis.call('ZADD', deliveries, 'XX', now + delay, id)
      redis.call('HINCRBY', prefix .. ':totals', 'deferred', 1)
    else
      if kind == 'unknown' then nobody(id, known[3], reply) end
      redis.call('HINCRBY', key, 'attempts', 1)
      redis.call('HSET', key, 'kind', 'delivery', 'reason', reply, 'when', now)
      redis.call('RENAME', key, dead)
      redis.call('ZREM', deliveries, id)
      redis.call('ZADD', prefix .. ':dead', now, id)
      redis.call('HINCRBY', prefix .. ':totals', 'refused', 1)
    end
  end
end
call('ZREM', deliveries, gone)
if #gone > 0 then redis.call('HINCRBY', prefix .. ':totals', 'sent', #gone) end
redis.call('EXPIRE', prefix .. ':outcomes', 90000)
if limited then redis.call('PEXPIRE', permits, math.max(window, 10000) + 3600000) end

-- What the relay took in this second and in the one before it: where no rate is set, this is what it lets us have.
local sending, second = prefix .. ':sending', math.floor(now / 1000)
local told = redis.call('HMGET', sending, 'second', 'number', 'before')
local number, before = tonumber(told[2]) or 0, tonumber(told[3]) or 0
if tonumber(told[1]) ~= second then
  before = tonumber(told[1]) == second - 1 and number or 0
  number = 0
end
number = number + sent
if sent > 0 then
  redis.call('HSET', sending, 'second', second, 'number', number, 'before', before)
  redis.call('EXPIRE', sending, 10)
end

-- A relay that throttles: half of what went well, and then a little more each second. Once in ten seconds: the mails
-- that were on their way when it began to throttle say nothing of the lower rate.
if throttled then
  local learned = redis.call('HMGET', throttle, 'limit', 'growth', 'since')
  local since = tonumber(learned[3])
  if not since or now - since >= 10000 then
    local most = count > 0 and count * 1000 / window or math.huge
    if since then most = math.min(most, learned[1] + learned[2] * (now - since) / 1000) end
    local took = math.max(number, before)
    if took > 0 or most == math.huge then most = math.min(most, math.max(took, 1)) end
    -- One mail in ten seconds finds out as well as none would.
    local limit = math.max(most / 2, 0.1)
    redis.call('HSET', throttle, 'limit', limit, 'growth', math.max(limit / 60, 0.1), 'since', now)
    redis.call('PEXPIRE', throttle, 3600000)
  end
end
return settled
