-- id, fence → the status, as by `move`, false where the fence is lost. The next worker goes on with
-- the job.
local status = held(ARGV[2])
if not status then return false end
if status == 'canceling' then return move('canceled') end
return move('queued', 'fence', '')
