-- id, fence, lease in ms → {status, 1 where its deadline passed}, false where the fence is lost.
local status = held(ARGV[2])
if not status then return false end
redis.call('ZADD', 'dreams:leases', now() + tonumber(ARGV[3]), id)
return {status, overdue()}
