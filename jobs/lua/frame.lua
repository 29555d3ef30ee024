-- id, fence, iteration, frame → the frame as it is published; 'stale' where the fence is lost,
-- false where this Redis has never given it out: it went back, and may be told of the frame yet.
-- A frame is published once; a later attempt's picture of it is the same, and dropped.
local iteration = tonumber(ARGV[3])
local known = redis.call('ZRANGEBYSCORE', frames, iteration, iteration)[1]
-- Published under this very fence, by a call whose answer was lost, or by a refill: it stays so,
-- though the fence may be lost by now.
if known == ARGV[4] then return known end
if not held(ARGV[2]) then
  return tonumber(string.match(ARGV[2], '%d+')) <= tonumber(get('attempt') or 0) and 'stale'
end
if known then return known end
publish(iteration, ARGV[4])
return ARGV[4]
