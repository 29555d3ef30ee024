-- id, fence, iteration, frame → 'new' or 'known', false where the fence is lost.
-- A frame is published once; a later attempt's picture of it is the same, and dropped.
local iteration = tonumber(ARGV[3])
if not held(ARGV[2]) then return false end
local known = redis.call('ZRANGEBYSCORE', frames, iteration, iteration)[1]
if known then return known == ARGV[4] and 'new' or 'known' end
redis.call('ZADD', frames, iteration, ARGV[4])
changed('frame', 'iteration', iteration)
return 'new'
