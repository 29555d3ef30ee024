-- '', age in ms, how many at most → ids of dreams that ended that long ago, the oldest first.
local key, found = 'dreams:finished', {}
local ids = redis.call('ZRANGEBYSCORE', key, '-inf', now() - ARGV[2], 'LIMIT', 0, ARGV[3])
for _, each in ipairs(ids) do
  local told = redis.call('HMGET', 'dream:' .. each, 'version', 'status')
  local ours, status = not told[1] or told[1] == VERSION, told[2]
  if ours and not (status and next(MOVES[status])) then
    found[#found + 1] = each
  else
    redis.call('ZREM', key, each) -- of another release: its own refill puts it back
  end
end
return found
