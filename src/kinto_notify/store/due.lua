-- due: when a digest may go out. Pure arithmetic on milliseconds, no call of Redis: `file` and `freeze` include it, and the
-- tests run it with times of their own.

-- The instant, or the end of the closed periods {from, until, from, until...} that it is in.
local function open_at(closed, instant)
  for i = 1, #closed, 2 do
    if instant >= closed[i] and instant < closed[i + 1] then instant = closed[i + 1] end
  end
  return instant
end

-- d: `first` (when the first change was filed), `wait`, `interval`, `max_events` (0 = none), `changes`, `slots` (the
-- instants of `at`, ascending), `closed`. `last` and `paced`: when this group was last mailed, and the interval after it.
local function due_at(d, now, last, paced)
  for _, slot in ipairs(d.slots) do
    if slot >= d.first then return slot end
  end
  local full = d.max_events > 0 and d.changes >= d.max_events
  local due = full and now or d.first + d.wait
  if d.interval > 0 and last then due = math.max(due, last + (full and d.interval or paced)) end
  return open_at(d.closed, due)
end

-- The interval after a mail: it grows while changes keep coming, and starts anew after a calm.
local function following(first, last, interval, least, most, growth)
  if last and interval and first - last <= interval then
    return math.max(least, math.min(math.floor(interval * growth), most))
  end
  return least
end

local function numbers(text)
  local found = {}
  for one in string.gmatch(text or '', '%d+') do found[#found + 1] = tonumber(one) end
  return found
end
