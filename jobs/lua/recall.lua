-- id, fence, life, iteration, frame, … → 1, false where the fence is lost. These frames are on disk,
-- as somebody has seen who was told of that life: Redis has forgotten none of before it any more.
if not held(ARGV[2]) then return false end
recall(4)
redis.call('HSET', record, 'compared', ARGV[3])
return 1
