-- id, fence, lease in ms → the status, false where the fence is lost.
local status = held(ARGV[2])
if status then redis.call('ZADD', 'dreams:leases', now() + tonumber(ARGV[3]), id) end
return status
