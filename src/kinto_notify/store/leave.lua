-- leave: remove a consumer that has nothing pending; with something pending its entries would be lost to everybody.
--
-- KEYS[1] the stream. ARGV: prefix, group, consumer. Returns 1 if it was removed.

local stream, group, consumer = KEYS[1], ARGV[2], ARGV[3]
if #redis.call('XPENDING', stream, group, '-', '+', 1, consumer) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer)
return 1
