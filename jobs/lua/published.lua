-- id. The broker has the job's message.
redis.call('ZREM', 'dreams:overtaken', id)
return redis.call('ZREM', 'dreams:unpublished', id)
