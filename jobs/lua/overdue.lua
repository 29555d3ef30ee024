-- '', age in ms, 1 where leases are judged → ids of jobs that somebody should look at: leases that
-- ran out, messages that were not sent within that age.
local found = redis.call('ZRANGEBYSCORE', 'dreams:unpublished', '-inf', now() - ARGV[2])
if ARGV[3] == '1' then
  for _, each in ipairs(redis.call('ZRANGEBYSCORE', 'dreams:leases', '-inf', now())) do
    found[#found + 1] = each
  end
end
return found
