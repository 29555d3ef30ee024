-- '' → {since when paused or false, {{queue, queued}, …}, {progress or false of each that runs, …},
-- {sample, …}}. It looks at what runs and at the paces kept, not at what waits.
local queues, running, samples = {}, {}, {}
for _, queue in ipairs(QUEUES) do
  queues[#queues + 1] = {queue, redis.call('ZCARD', 'dreams:queued:' .. queue)}
end
for _, each in ipairs(redis.call('ZRANGE', 'dreams:leases', 0, -1)) do
  running[#running + 1] = redis.call('HGET', 'dream:' .. each, 'progress')
end
for _, each in ipairs(redis.call('SMEMBERS', 'dreams:paces')) do
  for _, sample in ipairs(redis.call('LRANGE', each, 0, -1)) do samples[#samples + 1] = sample end
end
return {redis.call('GET', 'dreams:paused'), queues, running, samples}
