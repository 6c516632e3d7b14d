-- file: add the changes of entries to digests and acknowledge the entries, each whole or not at all.
--
-- It reads and adds up first and writes then, the acknowledgement last: should this script itself fail, everything is
-- still pending. What is written is written for all entries at once where Redis lets it.
--
-- KEYS[1] the stream. ARGV: prefix, group, then two flat sections that a cursor walks:
--   digests: count, then per digest: id, identity, text, group, audience, recipients, who stays a recipient of one that is
--            open ('' if nobody), pace, wait, interval, max_wait, max_events (0 = none), max_listed, slots, closed (instants, see `due`),
--            collapse (0 or 1)
--   entries: count, then per entry: stream id, event id, seen key, when it was made in ms, filings, then per filing: digest index (from 1),
--            counters, {name, number}..., lines, {line}...
--            filings = -1: a malformed entry, followed by reason, v, event: it becomes a dead letter instead.
-- Returns {filed, known, filed before, buried, ms until the soonest digest is due or -1, stranded}.

-- include: due
-- include: merge
-- include: chunks

local stream, prefix, group = KEYS[1], ARGV[1], ARGV[2]
local at = 2
local function take() at = at + 1; return ARGV[at] end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The first write is one that Redis refuses when it is out of memory, so that nothing is acknowledged half-filed.
redis.call('HINCRBY', prefix .. ':totals', 'batches', 1)

local function add(list, one, ...)
  list[#list + 1] = one
  for _, other in ipairs({ ... }) do list[#list + 1] = other end
end

local digests = {}
for i = 1, tonumber(take()) do
  local d = { id = take(), identity = take(), text = take(), group = take(), audience = take(), recipients = take(),
    leaving = take(), pace = take(), wait = tonumber(take()), interval = tonumber(take()), max_wait = tonumber(take()),
    max_events = tonumber(take()), max_listed = tonumber(take()), slots = numbers(take()), closed_text = take(),
    collapse = take() == '1', changes = 0, counts = {}, more = {} }
  d.closed = numbers(d.closed_text)
  digests[i] = d
end

-- With `collapse` a digest keeps one line for each object, and what the first change of it did; beyond so many objects
-- it keeps what it has, and its totals count every change.
local MOST_OBJECTS = 10000
local STATES = { create = true, update = true, delete = true }
local function collapse(d, line)
  local told = cjson.decode(line)
  local object, net = told[5] ~= '' and told[5] or told[4], prefix .. ':net:' .. d.id
  -- A further event, of any name, is no state of the object: it stands beside that.
  if not STATES[told[2]] then object = told[2] .. ' ' .. object end
  local known = redis.call('HGET', net, object)
  if known then
    local first, earlier = string.match(known, '^(%l*) (.*)$')
    -- Numbers that cjson can't write, say: an error here would keep all entries of the batch from being filed.
    local done, both = pcall(merged, earlier, line)
    redis.call('HSET', net, object, first .. ' ' .. (done and both or line))
  elseif redis.call('HLEN', net) < MOST_OBJECTS then
    redis.call('HSET', net, object, (STATES[told[2]] and told[2] or 'update') .. ' ' .. line)
  else
    d.raw = true
  end
end

local function open(d)
  local FIELDS = { 'first', 'chain', 'changes', 'flushed', 'oldest', 'v' }
  d.key = prefix .. ':digest:' .. d.id
  local known = redis.call('HMGET', d.key, unpack(FIELDS))
  if known[6] and string.match(known[6], '^%d+') ~= '1' then
    -- A daemon of a newer version opened it, in a form that we would mangle: ours stands beside it.
    d.id = d.id .. '.1'
    d.key = prefix .. ':digest:' .. d.id
    known = redis.call('HMGET', d.key, unpack(FIELDS))
  end
  d.lines = prefix .. ':lines:' .. d.id
  d.new = not known[1]
  d.first = tonumber(known[1]) or now
  d.chain = known[2] or ''
  d.changes = tonumber(known[3]) or 0
  d.flushed = known[4]
  d.oldest = tonumber(known[5]) or now
  d.listed = d.new and 0 or redis.call('LLEN', d.lines)
  d.open = true
end

-- Whether an entry is still to be filed is told by the stream and by the ids in `filed`, not by the pending list: an
-- entry whose consumer somebody deleted is in no pending list any more, and yet nobody has filed it.
local acknowledged, told = {}, {}
local function take_in(id)
  local pending = #redis.call('XPENDING', stream, group, id, id, 1) > 0
  if not pending and #redis.call('XRANGE', stream, id, id) == 0 then return false, false end
  acknowledged[#acknowledged + 1] = id
  local ours = not told[id] and not redis.call('ZSCORE', prefix .. ':filed', id)
  if ours then told[id] = true end
  return ours, ours and not pending
end

-- An event whose id is known adds nothing: it was published twice.
local news, named = {}, {}
local function is_new(seen, event)
  news[seen] = news[seen] or {}
  if named[seen .. event] or redis.call('SISMEMBER', seen, event) == 1 then return false end
  named[seen .. event] = true
  table.insert(news[seen], event)
  return true
end

local filed, known, gone, buried, changes, stranded = 0, 0, 0, 0, 0, 0
local SHOWN, trail = 20, {}
for _ = 1, tonumber(take()) do
  local id, event, seen, made, filings = take(), take(), take(), tonumber(take()), tonumber(take())
  local ours, lone = take_in(id)
  local fresh = ours
  if filings == -1 then
    local reason, version, body = take(), take(), take()
    if ours then
      local dead = 'entry-' .. id
      redis.call('HSET', prefix .. ':dead:' .. dead, 'v', 1, 'kind', 'entry', 'reason', reason, 'when', now,
        'entry_v', version, 'entry_event', body)
      redis.call('ZADD', prefix .. ':dead', now, dead)
      buried = buried + 1
    end
  elseif ours then
    fresh = is_new(seen, event)
    if fresh then filed = filed + 1 else known = known + 1 end
  end
  if not ours then gone = gone + 1 end
  if lone and fresh then stranded = stranded + 1 end
  local went = {}
  for n = 1, math.max(filings, 0) do
    local d = digests[tonumber(take())]
    if fresh and not d.open then open(d) end
    if n <= SHOWN then went[n] = d.id end
    for _ = 1, tonumber(take()) do
      local name, number = take(), tonumber(take())
      if fresh then
        d.counts[name] = (d.counts[name] or 0) + number
        d.changes = d.changes + number
        changes = changes + number
      end
    end
    if fresh then
      d.chain = redis.sha1hex(d.chain .. event)
      d.oldest = math.min(d.oldest, made)
    end
    for _ = 1, tonumber(take()) do
      local line = take()
      if fresh and d.collapse then
        collapse(d, line)
      elseif fresh and d.listed < d.max_listed then
        d.more[#d.more + 1] = line
        d.listed = d.listed + 1
      end
    end
  end
  if fresh and filings >= 0 then trail[#trail + 1] = { event, table.concat(went, ' '), filings } end
end

-- Whoever wants one mail a day from now on still gets what an open digest holds already.
local function recipients_of(d)
  local stored = d.leaving ~= '' and redis.call('HGET', d.key, 'recipients')
  if not stored then return d.recipients end
  local before, left = {}, cjson.decode(d.recipients)
  for _, one in ipairs(cjson.decode(stored)) do before[one[2]] = true end
  for _, one in ipairs(cjson.decode(d.leaving)) do
    if before[one[2]] then left[#left + 1] = one end
  end
  return cjson.encode(left)
end

local function keep(d)
  local fields = { 'chain', d.chain, 'changes', d.changes, 'recipients', d.recipients, 'oldest', d.oldest,
    'closed', d.closed_text }
  if d.new then
    add(fields, 'v', 1, 'identity', d.identity, 'text', d.text, 'group', d.group, 'audience', d.audience, 'pace', d.pace,
      'interval', d.interval, 'max_wait', d.max_wait, 'first', d.first)
    if d.collapse then add(fields, 'collapse', d.max_listed) end
  end
  if d.raw then add(fields, 'raw', 1) end
  for name, number in pairs(d.counts) do
    if d.new then add(fields, 'n:' .. name, number) else redis.call('HINCRBY', d.key, 'n:' .. name, number) end
  end
  call('HSET', d.key, fields)
  call('RPUSH', d.lines, d.more)
end

-- A digest of a paused subscription is filed and not due: its due time is this far away until it is resumed.
local PARKED, paused = 1e14, {}
for i, name in ipairs(redis.call('HGETALL', prefix .. ':paused')) do
  if i % 2 == 1 then paused[name] = true end
end

local function due_time(d)
  local last, paced
  if d.interval > 0 then
    local mailed = redis.call('HMGET', prefix .. ':pace:' .. d.pace, 'last', 'interval')
    last, paced = tonumber(mailed[1]), tonumber(mailed[2])
  end
  local due = due_at(d, now, last, paced)
  local before = #d.slots > 0 and tonumber(redis.call('ZSCORE', prefix .. ':due', d.id))
  -- The slots are those after now: one that has come already, and waits for a daemon, must not become tomorrow's.
  if before then due = math.min(due, before % PARKED) end
  if d.flushed then return now end
  return (paused['*'] or paused[d.identity]) and due + PARKED or due
end

-- All that could fail, of every digest, before the first of them is written: half of a batch would be counted twice when
-- it comes again.
local soonest, due = -1, {}
for _, d in ipairs(digests) do
  if d.open then
    d.recipients = recipients_of(d)
    local instant = due_time(d)
    add(due, instant, d.id)
    local delay = math.max(instant - now, 0)
    if instant < PARKED and (soonest < 0 or delay < soonest) then soonest = delay end
  end
end
for _, d in ipairs(digests) do
  if d.open then keep(d) end
end
call('ZADD', prefix .. ':due', due)

-- Where an event went, for `explain`: the last ones, and of each as many digests as people read.
for _, one in ipairs(trail) do
  redis.call('XADD', prefix .. ':trail', 'MAXLEN', '~', 20000, '*', 'e', one[1], 'd', one[2], 'n', one[3])
end
redis.call('EXPIRE', prefix .. ':trail', 90000)

local retention = tonumber(redis.call('HGET', prefix .. ':meta', 'retention')) or 86400
for seen, events in pairs(news) do
  call('SADD', seen, events)
  -- Two hours more than the outbox keeps its rows: the hour that the key stands for, and one for clocks that differ.
  redis.call('EXPIRE', seen, retention + 7200)
end

redis.call('HINCRBY', prefix .. ':totals', 'events', filed)
redis.call('HINCRBY', prefix .. ':totals', 'changes', changes)
redis.call('HINCRBY', prefix .. ':totals', 'known', known)
local marks = {}
for _, id in ipairs(acknowledged) do add(marks, string.match(id, '^%d+'), id) end
call('ZADD', prefix .. ':filed', marks)
for i = 1, #acknowledged, CHUNK do
  redis.call('XACK', stream, group, unpack(acknowledged, i, math.min(i + CHUNK - 1, #acknowledged)))
end
return { filed, known, gone, buried, soonest, stranded }
