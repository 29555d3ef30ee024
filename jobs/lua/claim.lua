-- id, token, worker, lease in ms → {fence, queue}, false where the job isn't queued.
local token, worker, lease = ARGV[2], ARGV[3], tonumber(ARGV[4])
local status = get('status')
if status == 'running' and get('fence') == get('attempt') .. '-' .. token then
  return {get('fence'), get('queue')} -- this very call came before; its answer was lost
end
if status ~= 'queued' then return false end
local expires_at = tonumber(get('expires_at') or '')
if expires_at and expires_at <= now() then
  move('expired')
  return false
end
local fence = redis.call('HINCRBY', record, 'attempt', 1) .. '-' .. token
redis.call('HSETNX', record, 'started_at', now())
redis.call('ZADD', 'dreams:leases', now() + lease, id)
move('running', 'fence', fence, 'worker', worker)
return {fence, get('queue')}
