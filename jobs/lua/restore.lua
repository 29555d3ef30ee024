-- id, queue, status, bytes it may still take, n, n times field or value, then iteration, frame, …
-- → 1 where Redis had lost the job or its end, else 0. This is no move of the job: it happened
-- before, and Redis forgot. Of a job that it knows and that has not ended it may have lost frames:
-- they are on disk, and no attempt would publish them again.
local queue, status, count = ARGV[2], ARGV[3], tonumber(ARGV[5])
local known = get('status')
local function keep_from()
  redis.call('ZADD', 'dreams:finished', 'NX', tonumber(get('finished_at') or '') or now(), id)
end
if known and not next(MOVES[known]) then
  keep_from()
  return 0
end
if known and status == 'queued' then
  recall(6 + count)
  return 0
end
redis.call('HSET', record, 'status', status, 'queue', queue, 'fence', '', unpack(ARGV, 6, 5 + count))
redis.call('HSETNX', record, 'attempt', 0)
for at = 6 + count, #ARGV, 2 do
  if redis.call('ZCOUNT', frames, ARGV[at], ARGV[at]) == 0 then
    redis.call('ZADD', frames, ARGV[at], ARGV[at + 1])
  end
end
redis.call('ZADD', 'dreams:all', 0, id)
redis.call('ZREM', queue_key(), id)
for _, key in ipairs(
  {'dreams:unpublished', 'dreams:overtaken', 'dreams:leases', 'dreams:deadlines'}
) do
  redis.call('ZREM', key, id)
end
redis.call('HDEL', 'dreams:disk', id)
if not next(MOVES[status]) then keep_from() end
if status == 'queued' then
  redis.call('HSET', 'dreams:disk', id, ARGV[4])
  expect_end()
  enqueue(false)
end
redis.call('HDEL', record, 'life') -- its seq is that of the disk, and more may have been told
changed(status)
return 1
