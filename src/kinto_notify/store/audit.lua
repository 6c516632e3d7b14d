-- audit: find entries that were handed out, are pending with nobody, and were not filed: somebody deleted a consumer.
--
-- Looks at what is below our first pending entry, or up to the last one handed out; `audited` in `meta` is the id up to
-- which all is filed, so that each entry is looked at once. KEYS[1] the stream. ARGV: prefix, group, most to look at.
-- Returns {1 if there is more to look at, {id, fields}...}.

local stream, prefix, group, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
-- A write that takes no memory comes first: with it Redis lets the rest pass when it is out of memory.
redis.call('DEL', prefix .. ':none')
local upto
for _, told in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local one = {}
  for i = 1, #told, 2 do one[told[i]] = told[i + 1] end
  if one['name'] == group then upto = one['last-delivered-id'] end
end
if not upto then return { 0 } end
local pending = redis.call('XPENDING', stream, group)[2]
if pending then upto = '(' .. pending end

local from = redis.call('HGET', prefix .. ':meta', 'audited')
local found = redis.call('XRANGE', stream, from and '(' .. from or '-', upto, 'COUNT', most)
local stranded, audited = { #found == most and 1 or 0 }, nil
for _, entry in ipairs(found) do
  if not redis.call('ZSCORE', prefix .. ':filed', entry[1]) then
    stranded[#stranded + 1] = entry
  elseif #stranded == 1 then
    audited = entry[1]
  end
end
if audited then redis.call('HSET', prefix .. ':meta', 'audited', audited) end
return stranded
