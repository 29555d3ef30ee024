-- id, life and seq of what is known of the record → 1 where it still stands so, false where there is no
-- such job, else the document as `read` tells it, and what each worker says where the job waits for
-- one, in JSON.
-- What is asked most of all is answered most of the time by these lines, before the prelude is run.
local known = redis.call('HMGET', 'dream:' .. ARGV[1], 'life', 'seq')
if known[1] == ARGV[2] and known[2] == ARGV[3]
  and string.find(redis.call('INFO', 'server'), 'run_id:' .. ARGV[2], 1, true)
then
  return 1
end
-- prelude
local told = document()
if not told then return false end
local workers = {}
for _, each in ipairs(told[3] and redis.call('SMEMBERS', 'workers') or {}) do
  workers[each] = redis.call('GET', 'worker:' .. each) or nil
end
return cjson.encode({told[1], told[2], told[3] or cjson.null, told[4], told[5] or cjson.null,
  told[6] or cjson.null, workers})
