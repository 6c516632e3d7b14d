-- lease: take due deliveries until a time; a lease is a due time in the future, so a crash needs no janitor.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, limit, lease in ms, then the rate: count, window in ms (0, 0:
-- none), how long a permit is held in ms.
-- Returns {now, ms until the rate lets another one go (0: it does), 1 if there is a rate, the learned rate in mails a
-- second or '', {id, fence, attempts, sender, recipient, headers, body, first, identity, smtputf8, oldest or nil,
-- summary (0: there is one, 1: it is to be sent) or nil, suppressed, unwanted, body or ''}...}.
-- suppressed: the reply for which its recipient gets no more mail, or ''; unwanted: why the recipient wants none now, or
-- ''. Such a one goes nowhere and needs no permit. body: where no other delivery has the same.

-- include: wish
-- include: chunks

local deliveries, prefix, limit, lease = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local count, window, hold = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')

-- A permit counts from the lease until its window after the settlement: whenever in between the relay saw the mail, no
-- window of its clock holds more than the count.
local permits, rates = prefix .. ':permits', {}
if count > 0 then rates[1] = { count, window } end
local learned, limit_learned = redis.call('HMGET', prefix .. ':throttle', 'limit', 'growth', 'since'), ''
if learned[1] then
  -- What a relay that throttled lets us have, in mails a second.
  local mails = learned[1] + learned[2] * math.max(now - learned[3], 0) / 1000
  local number = math.max(math.floor(mails), 1)
  rates[#rates + 1] = { number, math.ceil(number * 1000 / mails) }
  limit_learned = tostring(mails)
end
local wait, longest = 0, 0
for _, rate in ipairs(rates) do longest = math.max(longest, rate[2]) end
if #rates > 0 then redis.call('ZREMRANGEBYSCORE', permits, '-inf', now - longest - 1) end
for _, rate in ipairs(rates) do
  local free = rate[1] - redis.call('ZCOUNT', permits, now - rate[2], '+inf')
  if free <= 0 then
    local oldest = tonumber(redis.call('ZREVRANGE', permits, rate[1] - 1, rate[1] - 1, 'WITHSCORES')[2])
    -- One that is on its way counts from its settlement, which may come at any moment.
    local rest = oldest > now and math.min(math.max(math.ceil(rate[2] / 8), 20), 250) or oldest + rate[2] + 1 - now
    wait = math.max(wait, rest)
  end
  limit = math.min(limit, math.max(free, 0))
end

local due = redis.call('ZRANGEBYSCORE', deliveries, '-inf', now, 'LIMIT', 0, math.max(limit, 1))
if #due == 0 then wait = 0 end
local leased, until_when = { now, wait, math.min(#rates, 1), limit_learned }, {}
for i = 1, math.min(#due, limit) do
  local id = due[i]
  local key = prefix .. ':delivery:' .. id
  local told = redis.call('HMGET', key, 'attempts', 'sender', 'recipient', 'headers', 'body', 'first', 'identity',
    'smtputf8', 'oldest', 'summary', 'v')
  local form = table.remove(told)
  if form and string.match(form, '^%d+') ~= '1' then
    -- A form of another major is left to the daemons that know it. It rests, so that we meet others meanwhile.
    redis.call('ZADD', deliveries, now + 5000, id)
  elseif told[1] then
    until_when[#until_when + 1] = now + lease
    until_when[#until_when + 1] = id
    local fence = redis.call('HINCRBY', key, 'fence', 1)
    local who = string.match(id, '[^:]*$')
    local known = redis.call('HMGET', prefix .. ':recipient:' .. who, 'suppressed', 'reply')
    told[#told + 1] = known[1] and known[2] or ''
    local unasked = unwanted(prefix, who, told[7] or '', now)
    told[#told + 1] = unasked
    -- What nobody shares goes along: one mail for each change would be a question more for each of them.
    local kind = told[10] == '1' and 'summary' or 'bytes'
    local shared = redis.call('HMGET', prefix .. ':body:' .. (told[5] or ''), 'refs', kind)
    told[#told + 1] = shared[1] == '1' and shared[2] or ''
    leased[#leased + 1] = { id, fence, unpack(told) }
    if #rates > 0 and not known[1] and unasked == '' then
      redis.call('ZADD', permits, now + hold, id .. ':' .. fence)
      -- A permit may be renewed for as long as a relay may take for its reply to the dot, and longer.
      redis.call('PEXPIRE', permits, longest + 3600000)
    end
  else
    redis.call('ZREM', deliveries, id)
  end
end
call('ZADD', deliveries, until_when)
return leased
