-- id, fence, kind, field, value, … → {status, 1 where its deadline passed}, false where the fence
-- is lost.
local status = held(ARGV[2])
if not status then return false end
if ARGV[3] == 'progress' then
  -- An iteration that a later attempt runs again, from its checkpoint on, counts once.
  local iteration = cjson.decode(ARGV[5]).iteration
  local more = iteration - (get('counted') or get('begins_at') or 0)
  if more > 0 then
    redis.call('HSET', record, 'counted', iteration)
    count(more, 'iterations', model())
  end
end
redis.call('HSET', record, unpack(ARGV, 4))
changed(ARGV[3])
return {status, overdue()}
