-- id, token, worker, lease in ms → {fence, queue, request that made it, attempts lost since it last got on}, false where
-- the job isn't queued, or not yet to be started; as by `move` where it would expire.
local token, worker, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local status = get('status')
if status == 'running' and get('fence') == get('attempt') .. '-' .. token then
  return {get('fence'), get('queue'), get('request'), tonumber(get('lost') or 0)} -- this very call came before; its answer was lost
end
if status ~= 'queued' then return false end
if overdue() then
  local moved = move('expired')
  return type(moved) == 'table' and moved
end
if redis.call('EXISTS', 'dreams:paused') == 1 then
  redis.call('SADD', 'dreams:held', id) -- its message is used up; `resume` sends another
  return false
end
local first = redis.call('ZRANGE', queue_key(), 0, 0)[1]
if first ~= id then redis.call('ZADD', 'dreams:overtaken', 'NX', now(), first) end
local fence = redis.call('HINCRBY', record, 'attempt', 1) .. '-' .. token
if redis.call('HSETNX', record, 'started_at', now()) == 1 then
  observe(math.max(now() - get('created_at'), 0), WAIT_BOUNDS, 'wait', model())
end
redis.call('ZADD', 'dreams:leases', now() + lease, id)
redis.call('LPUSH', 'dreams:starts', now())
redis.call('LTRIM', 'dreams:starts', 0, STARTS_KEPT - 1)
move('running', 'fence', fence, 'worker', worker)
return {fence, get('queue'), get('request'), tonumber(get('lost') or 0)}
