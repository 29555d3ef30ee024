-- id → 1 where there was such a job. Nothing is left of it, whatever it was doing.
if redis.call('EXISTS', record) == 0 then return 0 end
redis.call('ZREM', queue_key(), id)
for _, key in ipairs({'dreams:all', 'dreams:unpublished', 'dreams:leases'}) do
  redis.call('ZREM', key, id)
end
return redis.call('DEL', record, frames, events) and 1
