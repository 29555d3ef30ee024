-- id, iteration or '-inf', limit → frames past that iteration; false where there is no such job.
if redis.call('EXISTS', record) == 0 then return false end
return redis.call('ZRANGEBYSCORE', frames, ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
