-- id. How the job ended is on disk.
return redis.call('ZREM', 'dreams:ended', id)
