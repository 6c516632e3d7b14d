-- resume: give digests that were put off for a pause their due time back, but those that are still paused.
--
-- KEYS[1] the zset of open digests by due time. ARGV: prefix, how many of those put off to skip, how many to look at.
-- Returns {looked at, still paused}.

local due, prefix, skip, limit = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory. What drains must.
redis.call('DEL', prefix .. ':none')
local PARKED, paused = 1e14, {}
for i, name in ipairs(redis.call('HGETALL', prefix .. ':paused')) do
  if i % 2 == 1 then paused[name] = true end
end
local found = redis.call('ZRANGEBYSCORE', due, PARKED, '+inf', 'WITHSCORES', 'LIMIT', skip, limit)
local kept = 0
for i = 1, #found, 2 do
  local identity = redis.call('HGET', prefix .. ':digest:' .. found[i], 'identity')
  if identity and (paused['*'] or paused[identity]) then
    kept = kept + 1
  else
    redis.call('ZADD', due, found[i + 1] - PARKED, found[i])
  end
end
return { #found / 2, kept }
