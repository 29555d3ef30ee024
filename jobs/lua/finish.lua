-- id, fence, status, problem → the status it ended with, as by `move`, false where the fence is lost.
local fence, to, problem = ARGV[2], ARGV[3], ARGV[4]
if get('fence') == fence and get('status') == to then return to end -- an answer was lost
local status = held(fence)
if not status then return false end
if status == 'canceling' then return move('canceled') end
return move(to, 'problem', problem)
