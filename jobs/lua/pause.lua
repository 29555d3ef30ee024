-- '' → since when no queued job is started, in ms. Said twice, the first time counts.
redis.call('SET', 'dreams:paused', now(), 'NX')
return redis.call('GET', 'dreams:paused')
