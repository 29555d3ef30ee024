-- id, losses allowed, problem of too many, problem of a deadline that passed → {status, queue} of a
-- job that was moved or whose message is missing, else false; or as by `move`.
local status = get('status')
if not status then return false end

local function moved(to, ...)
  local answer = move(to, ...)
  return type(answer) == 'table' and answer or {answer, get('queue')}
end

if status == 'queued' then
  return overdue() and moved('expired') or {status, get('queue')}
end
local lease = redis.call('ZSCORE', 'dreams:leases', id)
if not judged() or not lease or tonumber(lease) > now() then return false end
if status == 'canceling' then return moved('canceled') end
if overdue() then return moved('failed', 'problem', ARGV[4]) end
-- `lost` goes back to 0 with every checkpoint: a job that gets on may be killed for ever.
local lost = (get('lost') or 0) + 1
if lost >= tonumber(ARGV[2]) then return moved('failed', 'problem', ARGV[3], 'lost', lost) end
return moved('queued', 'fence', '', 'lost', lost)
