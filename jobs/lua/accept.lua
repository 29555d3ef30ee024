-- id, queue, field, value, … → 1 where the job is new. Told twice, it is taken once.
if redis.call('EXISTS', record) == 1 then return 0 end
redis.call('HSET', record, 'status', 'queued', 'seq', 0, 'attempt', 0, 'fence', '',
  'queue', ARGV[2], unpack(ARGV, 3))
redis.call('ZADD', 'dreams:all', 0, id)
enqueue(false)
changed('queued')
return 1
