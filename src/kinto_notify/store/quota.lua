-- quota: how many mails of hooks a recipient may get, and a bucket may send. `fan_out` includes it, after `wish`.

-- Permits of which so many may be taken at once, and which then come back evenly. `rates`: count and period in ms of a
-- recipient, then of a bucket (0: none). Takes one of each, or none and says which is used up: '' if it took them. A key
-- holds when it will be full again, and goes away then.
local function used_up(prefix, rates, who, bucket, now)
  local wanted = {
    { 'RECIPIENT_RATE', 'r-' .. who, rates[1], rates[2] },
    { 'BUCKET_RATE', 'b-' .. redis.sha1hex(bucket), rates[3], rates[4] },
  }
  for _, one in ipairs(wanted) do
    if one[3] > 0 then
      local step = one[4] / one[3]
      local full = redis.call('HGET', prefix .. ':quota:' .. one[2], 'full')
      one.full = math.max(full and tonumber(full) or now, now) + step
      -- Half a step for what the sums are rounded by.
      if one.full - now > one[4] + step / 2 then return one[1] end
    end
  end
  for _, one in ipairs(wanted) do
    if one.full then
      redis.call('HSET', prefix .. ':quota:' .. one[2], 'full', string.format('%.3f', one.full))
      redis.call('PEXPIRE', prefix .. ':quota:' .. one[2], math.ceil(one.full - now))
    end
  end
  return ''
end

-- How many mails of a hook were over its quotas in this hour, with this one.
local function over_in_this_hour(prefix, identity)
  local key = prefix .. ':quota:h-' .. subscription_key(identity)
  local number = redis.call('HINCRBY', key, 'over', 1)
  if number == 1 then redis.call('PEXPIRE', key, 3600000) end
  return number
end
