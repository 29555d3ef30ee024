-- '', age in ms, ms for which nobody may have looked, ms of grace → ids of jobs that somebody should
-- look at, three lists: not sent within that age, or overtaken in the queue that long ago (so its
-- message is gone); lease or deadline passed; end not on disk within that age.
watch(tonumber(ARGV[3]), tonumber(ARGV[4]))
local unsent = redis.call('ZRANGEBYSCORE', 'dreams:unpublished', '-inf', now() - ARGV[2])
for _, each in ipairs(redis.call('ZRANGEBYSCORE', 'dreams:overtaken', '-inf', now() - ARGV[2])) do
  unsent[#unsent + 1] = each
end
local late = redis.call('ZRANGEBYSCORE', 'dreams:deadlines', '-inf', now())
if judged() then
  for _, each in ipairs(redis.call('ZRANGEBYSCORE', 'dreams:leases', '-inf', now())) do
    late[#late + 1] = each
  end
end
return {unsent, late, redis.call('ZRANGEBYSCORE', 'dreams:ended', '-inf', now() - ARGV[2])}
