-- '' → {id, queue} of jobs whose messages came while the queue was paused, in the order of their
-- queues. Until they are sent again they count as not yet sent.
redis.call('DEL', 'dreams:paused')
local found = {}
for _, queue in ipairs(QUEUES) do
  for _, each in ipairs(redis.call('ZRANGE', 'dreams:queued:' .. queue, 0, -1)) do
    if redis.call('SREM', 'dreams:held', each) == 1 then
      redis.call('ZADD', 'dreams:unpublished', now(), each)
      found[#found + 1] = {each, queue}
    end
  end
end
redis.call('DEL', 'dreams:held')
return found
