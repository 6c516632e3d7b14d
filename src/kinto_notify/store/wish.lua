-- wish: what recipients want, as `prefer` keeps it. `lease`, `fan_out` and `prefer` include it.

-- The same as in wish.py: of the identity, so that an edit of the subscription's text keeps it.
local subscription_keys = {}
local function subscription_key(identity)
  local key = subscription_keys[identity]
  if not key then
    key = string.sub(redis.sha1hex(identity), 1, 24)
    subscription_keys[identity] = key
  end
  return key
end

-- Why a recipient gets no mail of a subscription now: 'unsubscribed', 'muted', or '' for no reason.
local function unwanted(prefix, who, identity, now)
  for _, kept in ipairs(redis.call('HMGET', prefix .. ':inbox:' .. who, subscription_key(identity), '*')) do
    if kept then
      local wish, muted = string.match(kept, '^(%a+) (%d+)')
      if wish == 'off' then return 'unsubscribed' end
      if tonumber(muted) > now then return 'muted' end
    end
  end
  return ''
end
