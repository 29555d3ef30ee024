-- '' → {now, since when paused or false, jobs known, {queue, queued, its first ids}, …, statuses of
-- claimed jobs, counters and values, what workers say}. Read at every scrape: it looks at no more
-- than the fronts of the queues and the jobs that have a worker.
local queues, claimed, workers = {}, {}, {}
for _, queue in ipairs(QUEUES) do
  local key = 'dreams:queued:' .. queue
  queues[#queues + 1] =
    {queue, redis.call('ZCARD', key), redis.call('ZRANGE', key, 0, LOOKED_AT - 1)}
end
for _, each in ipairs(redis.call('ZRANGE', 'dreams:leases', 0, -1)) do
  claimed[#claimed + 1] = redis.call('HGET', 'dream:' .. each, 'status') or nil
end
for _, each in ipairs(redis.call('SMEMBERS', 'workers')) do
  workers[#workers + 1] = redis.call('GET', 'worker:' .. each) or nil
end
return {now(), redis.call('GET', 'dreams:paused'), redis.call('ZCARD', 'dreams:all'), queues,
  claimed, redis.call('HGETALL', 'figures'), workers}
