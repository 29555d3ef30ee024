-- id. The broker has the job's message.
return redis.call('ZREM', 'dreams:unpublished', id)
