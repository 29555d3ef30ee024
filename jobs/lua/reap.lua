-- id, losses allowed, problem of too many, problem of a deadline that passed → {status, queue} of a
-- job that was moved or whose message is missing, else false.
local status = get('status')
if not status then return false end
if status == 'queued' then
  if overdue() then status = move('expired') end
  return {status, get('queue')}
end
local lease = redis.call('ZSCORE', 'dreams:leases', id)
if not judged() or not lease or tonumber(lease) > now() then return false end
if status == 'canceling' then return {move('canceled'), get('queue')} end
if overdue() then return {move('failed', 'problem', ARGV[4]), get('queue')} end
-- `lost` goes back to 0 with every checkpoint: a job that gets on may be killed for ever.
if redis.call('HINCRBY', record, 'lost', 1) >= tonumber(ARGV[2]) then
  return {move('failed', 'problem', ARGV[3]), get('queue')}
end
return {move('queued', 'fence', ''), get('queue')}
