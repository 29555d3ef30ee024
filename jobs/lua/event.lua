-- id, fence, kind, field, value, … → the status, false where the fence is lost. Something to know
-- that changes nothing.
local status = held(ARGV[2])
if status then changed(ARGV[3], unpack(ARGV, 4)) end
return status
