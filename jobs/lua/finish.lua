-- id, fence, status, problem → the status it ended with, false where the fence is lost, `forgetful`
-- where nothing has ended yet.
local fence, to, problem = ARGV[2], ARGV[3], ARGV[4]
if get('fence') == fence and get('status') == to then return to end -- an answer was lost
local status = held(fence)
if not status then return false end
local unsure = forgetful()
if unsure then return unsure end
if status == 'canceling' then return move('canceled') end
return move(to, 'problem', problem)
