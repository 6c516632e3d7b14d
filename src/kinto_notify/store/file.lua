-- file: acknowledge entries and add their changes to digests, each entry whole or not at all.
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

local stream, prefix, group = KEYS[1], ARGV[1], ARGV[2]
local at = 2
local function take() at = at + 1; return ARGV[at] end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The first write is one that Redis refuses when it is out of memory, so that nothing is acknowledged half-filed.
redis.call('HINCRBY', prefix .. ':totals', 'batches', 1)

local digests = {}
for i = 1, tonumber(take()) do
  local d = { id = take(), identity = take(), text = take(), group = take(), audience = take(), recipients = take(),
    leaving = take(), pace = take(), wait = tonumber(take()), interval = tonumber(take()), max_wait = tonumber(take()),
    max_events = tonumber(take()), max_listed = tonumber(take()), slots = numbers(take()), closed_text = take(),
    collapse = take() == '1', changes = 0 }
  d.closed = numbers(d.closed_text)
  d.key, d.lines = prefix .. ':digest:' .. d.id, prefix .. ':lines:' .. d.id
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
    -- Numbers that cjson can't write, say: an error here would leave entries acknowledged that nobody has filed.
    local done, both = pcall(merged, earlier, line)
    redis.call('HSET', net, object, first .. ' ' .. (done and both or line))
  elseif redis.call('HLEN', net) < MOST_OBJECTS then
    redis.call('HSET', net, object, (STATES[told[2]] and told[2] or 'update') .. ' ' .. line)
  else
    redis.call('HSET', d.key, 'raw', 1)
  end
end

-- A digest of a paused subscription is filed and not due: its due time is this far away until it is resumed.
local PARKED, paused = 1e14, {}
for i, name in ipairs(redis.call('HGETALL', prefix .. ':paused')) do
  if i % 2 == 1 then paused[name] = true end
end

local function open(d)
  local FIELDS = { 'first', 'chain', 'changes', 'flushed', 'oldest', 'v' }
  local known = redis.call('HMGET', d.key, unpack(FIELDS))
  if known[6] and string.match(known[6], '^%d+') ~= '1' then
    -- A daemon of a newer version opened it, in a form that we would mangle: ours stands beside it.
    d.id = d.id .. '.1'
    d.key, d.lines = prefix .. ':digest:' .. d.id, prefix .. ':lines:' .. d.id
    known = redis.call('HMGET', d.key, unpack(FIELDS))
  end
  d.first = tonumber(known[1])
  d.chain = known[2] or ''
  d.changes = tonumber(known[3]) or 0
  d.flushed = known[4]
  d.oldest = tonumber(known[5]) or now
  d.listed = d.first and redis.call('LLEN', d.lines) or 0
  if not d.first then
    d.first = now
    if d.collapse then redis.call('HSET', d.key, 'collapse', d.max_listed) end
    redis.call('HSET', d.key, 'v', 1, 'identity', d.identity, 'text', d.text, 'group', d.group,
      'audience', d.audience, 'pace', d.pace, 'interval', d.interval, 'max_wait', d.max_wait, 'first', now)
  end
  d.open = true
end

-- Whether an entry is still to be filed is told by the stream and by the ids in `filed`, not by the pending list: an
-- entry whose consumer somebody deleted is in no pending list any more, and yet nobody has filed it.
local function take_in(id)
  local pending = redis.call('XACK', stream, group, id) == 1
  if not pending and #redis.call('XRANGE', stream, id, id) == 0 then return false, false end
  local ours = redis.call('ZADD', prefix .. ':filed', 'NX', string.match(id, '^%d+'), id) == 1
  return ours, ours and not pending
end

-- Where an event went, for `explain`: the last ones, and of each as many digests as people read.
local TRAIL, SHOWN = 20000, 20

local expiries = {}
local filed, known, gone, buried, changes, stranded = 0, 0, 0, 0, 0, 0
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
    if redis.call('SADD', seen, event) == 0 then fresh = false end
    expiries[seen] = true
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
      local name, number = take(), take()
      if fresh then
        redis.call('HINCRBY', d.key, 'n:' .. name, number)
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
        redis.call('RPUSH', d.lines, line)
        d.listed = d.listed + 1
      end
    end
  end
  if fresh and filings >= 0 then
    redis.call('XADD', prefix .. ':trail', 'MAXLEN', '~', TRAIL, '*', 'e', event, 'd', table.concat(went, ' '),
      'n', filings)
  end
end

redis.call('EXPIRE', prefix .. ':trail', 90000)

local retention = tonumber(redis.call('HGET', prefix .. ':meta', 'retention')) or 86400
for seen in pairs(expiries) do
  -- Two hours more than the outbox keeps its rows: the hour that the key stands for, and one for clocks that differ.
  redis.call('EXPIRE', seen, retention + 7200)
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

local soonest = -1
for _, d in ipairs(digests) do
  if d.open then
    redis.call('HSET', d.key, 'chain', d.chain, 'changes', d.changes, 'recipients', recipients_of(d),
      'oldest', d.oldest, 'closed', d.closed_text)
    local last, paced
    if d.interval > 0 then
      local told = redis.call('HMGET', prefix .. ':pace:' .. d.pace, 'last', 'interval')
      last, paced = tonumber(told[1]), tonumber(told[2])
    end
    local due = due_at(d, now, last, paced)
    local before = #d.slots > 0 and tonumber(redis.call('ZSCORE', prefix .. ':due', d.id))
    -- The slots are those after now: one that has come already, and waits for a daemon, must not become tomorrow's.
    if before then due = math.min(due, before % PARKED) end
    if d.flushed then
      due = now
    elseif paused['*'] or paused[d.identity] then
      due = due + PARKED
    end
    redis.call('ZADD', prefix .. ':due', due, d.id)
    local delay = math.max(due - now, 0)
    if due < PARKED and (soonest < 0 or delay < soonest) then soonest = delay end
  end
end

redis.call('HINCRBY', prefix .. ':totals', 'events', filed)
redis.call('HINCRBY', prefix .. ':totals', 'changes', changes)
redis.call('HINCRBY', prefix .. ':totals', 'known', known)
return { filed, known, gone, buried, soonest, stranded }
