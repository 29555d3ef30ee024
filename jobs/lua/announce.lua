-- name, presence, seconds. What a worker says about itself.
redis.call('SADD', 'workers', ARGV[1])
redis.call('SET', 'worker:' .. ARGV[1], ARGV[2], 'EX', ARGV[3])
