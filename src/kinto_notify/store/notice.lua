-- notice: make the delivery of a notice to the operator, unless another daemon has made one since ours was decided.
--
-- KEYS[1] the zset of deliveries by due time. ARGV: prefix, when the last notice was made as it was known, when this one
-- was, identity, id, sender, recipient, headers, body, smtputf8, then keys of outages to forget.
-- Returns 1 if it was made.

local deliveries, prefix, last, made, identity, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local state = prefix .. ':notice'
if (redis.call('HGET', state, 'last') or '0') ~= last then return 0 end
redis.call('HSET', state, 'last', made, 'since', made - 1)
redis.call('HSET', prefix .. ':body:' .. id, 'bytes', ARGV[9], 'refs', 1)
redis.call('HSET', prefix .. ':delivery:' .. id, 'v', 1, 'sender', ARGV[6], 'recipient', ARGV[7], 'headers', ARGV[8],
  'smtputf8', ARGV[10], 'body', id, 'identity', identity, 'first', made, 'attempts', 0, 'fence', 0)
redis.call('ZADD', deliveries, made, id)
for i = 11, #ARGV do redis.call('HDEL', prefix .. ':circuits', ARGV[i]) end
return 1
