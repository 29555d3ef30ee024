-- id, life and seq of what is known of the record → 1 where it still stands so, 0 where the job waits
-- in a queue, false where there is none, else the document as `read` tells it, in JSON.
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
if told[3] then return 0 end -- its place, and what it waits for, change without its record
return cjson.encode({told[1], told[2], cjson.null, told[4], told[5] or cjson.null, cjson.null})
