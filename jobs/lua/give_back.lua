-- id, fence → the status, false where the fence is lost, `forgetful` where it would end. The next
-- worker goes on with the job.
local status = held(ARGV[2])
if not status then return false end
if status == 'canceling' then return forgetful() or move('canceled') end
return move('queued', 'fence', '')
