-- '' → ids of all jobs.
return redis.call('ZRANGE', 'dreams:all', 0, -1)
