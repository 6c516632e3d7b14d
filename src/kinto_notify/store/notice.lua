-- notice: make the delivery of a notice to the operator, unless another daemon has made one since ours was decided.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, when the last notice was made as it was known, when this one
-- was, identity, name of the body, suffix of the delivery's id, sender, recipient, headers, body, smtputf8, then keys of
-- outages to forget.
-- Returns 1 if it was made.

local deliveries, prefix, last, made, identity, name = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local id = name .. ':' .. ARGV[6]
local state = prefix .. ':notice'
if (redis.call('HGET', state, 'last') or '0') ~= last then return 0 end
redis.call('HSET', state, 'last', made, 'since', made - 1)
redis.call('HSET', prefix .. ':body:' .. name, 'bytes', ARGV[10], 'refs', 1)
redis.call('HSET', prefix .. ':delivery:' .. id, 'v', 1, 'sender', ARGV[7], 'recipient', ARGV[8], 'headers', ARGV[9],
  'smtputf8', ARGV[11], 'body', name, 'identity', identity, 'first', made, 'attempts', 0, 'fence', 0)
redis.call('ZADD', deliveries, made, id)
for i = 12, #ARGV do redis.call('HDEL', prefix .. ':circuits', ARGV[i]) end
return 1
