-- id, queue, places in the queues, bytes it may take, bytes there are, bytes of a frame, field,
-- value, … → why it can't be taken, else false. Told twice, it is taken once.
if redis.call('EXISTS', record) == 1 then return false end
local refused = refusal(ARGV[3], ARGV[4], ARGV[5])
if refused then return refused end
local present = life()
redis.call('HSET', record, 'status', 'queued', 'seq', 0, 'life', present, 'compared', present,
  'attempt', 0, 'fence', '', 'queue', ARGV[2], 'frame_bytes', ARGV[6], unpack(ARGV, 7))
redis.call('HSET', 'dreams:disk', id, ARGV[4])
redis.call('ZADD', 'dreams:all', 0, id)
expect_end()
enqueue(false)
changed('queued')
count(1, 'accepted', ARGV[2])
return false
