-- id → how many of its keys there were. Nothing is left of it, whatever it was doing.
for _, queue in ipairs(QUEUES) do
  redis.call('ZREM', 'dreams:queued:' .. queue, id)
end
for _, key in ipairs(
  {'dreams:all', 'dreams:unpublished', 'dreams:overtaken', 'dreams:leases', 'dreams:deadlines',
    'dreams:ended', 'dreams:finished'}
) do
  redis.call('ZREM', key, id)
end
redis.call('HDEL', 'dreams:disk', id)
redis.call('SREM', 'dreams:held', id)
return redis.call('DEL', record, frames, events)
