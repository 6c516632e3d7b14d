-- fan_out: turn a step of recipients into deliveries; the last step deletes the frozen digest.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, quotas of hooks (see `used_up`), steps, then per step: frozen id, fence, cursor before,
-- cursor after, last (0 or 1), body, summary ('' if none), identity, when its oldest change was captured in ms,
-- deliveries, then per delivery: suffix, sender, recipient, headers, smtputf8.
-- Returns how many deliveries were made (none for who wants none), then for each hook that was over its quotas: its
-- identity, how many mails were, how many of its mails were in this hour. A step with an old fence or another cursor does
-- nothing: it was done already.

-- include: wish
-- include: chunks
-- include: quota

-- So many of a hook and an hour become dead letters: it could drive all others out.
local KEPT = 100

local deliveries, prefix = KEYS[1], ARGV[1]
local at = 1
local function take() at = at + 1; return ARGV[at] end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local over, due, over_with, named = {}, {}, {}, {}
local rates = { tonumber(take()), tonumber(take()), tonumber(take()), tonumber(take()) }

-- For `explain`: nobody else knows of a mail that was not made.
local function refuse(id, why)
  redis.call('XADD', prefix .. ':outcomes', 'MAXLEN', '~', 20000, '*', 'd', id, 'u', why)
  redis.call('EXPIRE', prefix .. ':outcomes', 90000)
end

for _ = 1, tonumber(take()) do
  local fid, fence, before, after, last = take(), take(), take(), take(), take() == '1'
  local body, summary, identity, oldest, number = take(), take(), take(), take(), tonumber(take())
  local frozen = prefix .. ':frozen:' .. fid
  local known = redis.call('HMGET', frozen, 'fence', 'cursor', 'holds')
  local ours = known[1] == fence and known[2] == before
  local shared = prefix .. ':body:' .. fid
  local wanted, buried, bucket = {}, {}, string.match(identity, '^/buckets/([^/#]+)')
  for _ = 1, number do
    local suffix, sender, recipient, headers, smtputf8 = take(), take(), take(), take(), take()
    local why = ours and unwanted(prefix, suffix, identity, now)
    local one = { fid .. ':' .. suffix, sender, recipient, headers, smtputf8 }
    local quota = why == '' and bucket and used_up(prefix, rates, suffix, bucket, now) or ''
    if quota ~= '' then
      one[6] = 'over the ' .. quota .. ' of hooks'
      local sum = over_in_this_hour(prefix, identity)
      over[identity] = { (over[identity] or { 0 })[1] + 1, sum }
      redis.call('HINCRBY', prefix .. ':totals', 'over_quota', 1)
      if sum <= KEPT then buried[#buried + 1] = one else refuse(one[1], one[6]) end
    elseif why == '' then
      wanted[#wanted + 1] = one
    elseif why then
      redis.call('HINCRBY', prefix .. ':totals', 'unwanted', 1)
      refuse(one[1], why)
    end
  end
  if ours then
    -- The first body stays: a daemon with other templates that resumes after a crash must not change the rest.
    local first = redis.call('HSETNX', shared, 'bytes', body) == 1
    if first and summary ~= '' then redis.call('HSET', shared, 'summary', summary) end
    local shorter = summary ~= '' and first or not first and redis.call('HEXISTS', shared, 'summary') == 1
    local count = #wanted + #buried
    -- The digest holds the body too: all deliveries of one step may be sent before the next step is made.
    if not known[3] then count = count + 1 end
    if last then count = count - 1 elseif not known[3] then redis.call('HSET', frozen, 'holds', 1) end
    if redis.call('HINCRBY', shared, 'refs', count) <= 0 then redis.call('DEL', shared) end
    local function store(key, one)
      local _, sender, recipient, headers, smtputf8 = unpack(one)
      local fields = { 'v', 1, 'sender', sender, 'recipient', recipient, 'headers', headers, 'smtputf8', smtputf8,
        'body', fid, 'identity', identity, 'oldest', oldest, 'first', now, 'attempts', 0, 'fence', 0 }
      if shorter then
        fields[#fields + 1] = 'summary'
        fields[#fields + 1] = 0
      end
      redis.call('HSET', key, unpack(fields))
    end
    for _, one in ipairs(wanted) do
      store(prefix .. ':delivery:' .. one[1], one)
      due[#due + 1] = now
      due[#due + 1] = one[1]
    end
    for _, one in ipairs(buried) do
      local key = prefix .. ':dead:' .. one[1]
      store(key, one)
      redis.call('HSET', key, 'kind', 'delivery', 'reason', one[6], 'when', now)
      redis.call('ZADD', prefix .. ':dead', now, one[1])
    end
    -- For the page that the links in its mails lead to, as long as they are good.
    if not named[identity] then
      local name = prefix .. ':subscription:' .. subscription_key(identity)
      redis.call('HSET', name, 'identity', identity)
      redis.call('EXPIRE', name, 63244800)
      named[identity] = true
    end
    if last then
      redis.call('DEL', frozen, prefix .. ':frozen-lines:' .. fid)
      over_with[#over_with + 1] = fid
    else
      redis.call('HSET', frozen, 'cursor', after)
    end
  end
end
call('ZADD', deliveries, due)
call('ZREM', prefix .. ':frozen', over_with)
local told = { #due / 2 }
for identity, numbers in pairs(over) do
  told[#told + 1] = { identity, numbers[1], numbers[2] }
end
return told
