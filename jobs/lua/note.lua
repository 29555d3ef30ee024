-- id, fence, kind, field, value, … → {status, 1 where its deadline passed}, false where the fence
-- is lost.
local status = held(ARGV[2])
if not status then return false end
redis.call('HSET', record, unpack(ARGV, 4))
changed(ARGV[3])
return {status, overdue()}
