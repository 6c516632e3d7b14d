-- rights: try every command that our scripts and we use, on a key of no meaning; returns those that our user may not.
--
-- A script that is stopped half-way by a missing right leaves half of its work behind: an entry acknowledged and never
-- due. So they are looked at before the first script. KEYS[1] is such a key. ARGV: prefix.

local key, other = KEYS[1], ARGV[1] .. ':none-either'
local missing = {}

local function try(...)
  local answer = redis.pcall(...)
  local told = type(answer) == 'table' and answer.err or ''
  -- What else is wrong with a command on a key that is not there is of no interest.
  if string.find(told, 'ACL failure', 1, true) or string.find(told, 'user executing the script', 1, true) then
    missing[#missing + 1] = ({...})[1]
  end
end

try('DEL', key, other)
-- Without it the key would stay.
if #missing > 0 then return missing end
try('TIME')
try('HSET', key, 'a', 1, 'b', 1)
try('HSETNX', key, 'a', 1)
try('HINCRBY', key, 'a', 1)
try('HGET', key, 'a')
try('HMGET', key, 'a')
try('HGETALL', key)
try('HDEL', key, 'b')
try('HEXISTS', key, 'a')
try('HLEN', key)
try('HVALS', key)
try('EXISTS', key)
try('EXPIRE', key, 60)
try('PEXPIRE', key, 60000)
try('RENAME', key, other)
redis.call('DEL', key, other)
try('SADD', key, 'a')
try('SISMEMBER', key, 'a')
redis.call('DEL', key)
try('RPUSH', key, 'a')
try('LLEN', key)
try('LINDEX', key, 0)
try('RPOP', key)
try('LRANGE', key, 0, 0)
redis.call('DEL', key)
try('ZADD', key, 1, 'a')
try('ZCARD', key)
try('ZCOUNT', key, '-inf', 1)
try('ZRANGE', key, 0, 0)
try('ZREVRANGE', key, 0, 0)
try('ZRANGEBYSCORE', key, '-inf', 1)
try('ZSCORE', key, 'a')
try('ZREMRANGEBYSCORE', key, '-inf', 0)
try('ZREMRANGEBYRANK', key, 0, -9)
try('ZREM', key, 'a')
redis.call('DEL', key)
try('XADD', key, '*', 'a', 1)
try('XGROUP', 'CREATE', key, 'other', '0')
try('XREADGROUP', 'GROUP', 'other', 'none', 'COUNT', 1, 'STREAMS', key, '>')
try('XAUTOCLAIM', key, 'other', 'none', 0, '0-0', 'COUNT', 1)
try('XINFO', 'CONSUMERS', key, 'other')
try('XACK', key, 'none', '0-1')
try('XPENDING', key, 'none', '-', '+', 1)
try('XINFO', 'GROUPS', key)
try('XRANGE', key, '-', '+', 'COUNT', 1)
try('XDEL', key, '0-1')
try('XGROUP', 'DELCONSUMER', key, 'none', 'none')
redis.call('DEL', key)
return missing
