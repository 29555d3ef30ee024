-- '' → {since when paused or false, running, now, {queue, queued, when its oldest came}, …}.
local told = {redis.call('GET', 'dreams:paused'), redis.call('ZCARD', 'dreams:leases'), now()}
for _, queue in ipairs(QUEUES) do
  local key, oldest = 'dreams:queued:' .. queue, false
  for _, each in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local came = redis.call('HGET', 'dream:' .. each, 'created_at')
    if came and (not oldest or tonumber(came) < tonumber(oldest)) then oldest = came end
  end
  told[#told + 1] = {queue, redis.call('ZCARD', key), oldest}
end
return told
