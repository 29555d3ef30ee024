-- id, queue, status, n, n times field or value, then iteration, frame, … → 1 where it changed
-- anything. What the disk knows and Redis has lost: a whole job, or how it ended. This is no move
-- of the job: it happened before, and Redis forgot.
local queue, status, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
local known = get('status')
if known and (status == 'queued' or not next(MOVES[known])) then return 0 end
redis.call('HSET', record, 'status', status, 'queue', queue, 'fence', '', unpack(ARGV, 5, 4 + count))
redis.call('HSETNX', record, 'attempt', 0)
for at = 5 + count, #ARGV, 2 do
  if redis.call('ZCOUNT', frames, ARGV[at], ARGV[at]) == 0 then
    redis.call('ZADD', frames, ARGV[at], ARGV[at + 1])
  end
end
redis.call('ZADD', 'dreams:all', 0, id)
redis.call('ZREM', queue_key(), id)
redis.call('ZREM', 'dreams:unpublished', id)
redis.call('ZREM', 'dreams:leases', id)
if status == 'queued' then enqueue(false) end
changed(status)
return 1
