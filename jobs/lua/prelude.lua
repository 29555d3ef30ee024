-- Comes before every script: names of keys, and the only ways in which a record changes.
-- Keys are built from the id, so a Redis Cluster won't do; one server is all a stack needs.
-- MOVES, QUEUES, EVENTS_KEPT, PACES_KEPT, VERSION and bounds of histograms are put in front of this by
-- jobs/scripts.py.
local STARTS_KEPT = 20 -- of which the pace is reckoned

local id = ARGV[1]
local record = 'dream:' .. id
local frames = record .. ':frames'
local events = record .. ':events'

-- A record of another release is left as it is, whatever is asked of it. (The first had no version.)
local written = redis.call('HGET', record, 'version')
if written and written ~= VERSION then
  return redis.error_reply('UNKNOWNVERSION ' .. id .. ' ' .. written)
end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function get(field)
  return redis.call('HGET', record, field)
end

local server
-- What Redis says of its present life: a name that no other has, seconds since it began.
local function life()
  server = server or redis.call('INFO', 'server')
  return string.match(server, 'run_id:(%x+)'), tonumber(string.match(server, 'uptime_in_seconds:(%d+)'))
end

-- A Redis that has started anew may have forgotten the last that it told of a job. So its seq first
-- goes past all that an earlier life can have come to: counting, or from a clock in microseconds, as
-- no two changes share one. 2^53 of them, where JSON's whole numbers end, are in the year 2255.
local function raise_after_restart()
  local present = life()
  if get('life') == present then return end
  local time = redis.call('TIME')
  local seq = math.max(tonumber(get('seq') or 0), time[1] * 1000000 + time[2])
  redis.call('HSET', record, 'life', present, 'seq', seq)
end

-- Raise a counter: what it counts, then its labels. Only where a move is made, so that a call
-- that comes twice, or from a worker that lost its fence, counts nothing.
local function count(by, ...)
  redis.call('HINCRBY', 'figures', table.concat({...}, '\t'), by)
end

-- Put so many milliseconds into a histogram: bounds in seconds, then what it is of, and its labels.
local function observe(ms, bounds, ...)
  local bucket = 1
  while bounds[bucket] and ms > bounds[bucket] * 1000 do bucket = bucket + 1 end
  local name = table.concat({...}, '\t')
  count(1, name, bucket)
  count(ms, name, 'ms')
end

-- A member of a field that holds JSON; `fallback` where there is none of its type. What is only
-- counted may not break a move.
local function member(field, name, fallback)
  local fine, value = pcall(function() return cjson.decode(get(field))[name] end)
  return fine and type(value) == type(fallback) and value or fallback
end

local function model()
  return member('spec', 'model', 'unknown')
end

-- Count a job that has just ended.
local function count_end(how)
  count(1, 'ended', how)
  if how == 'failed' then count(1, 'failed', member('problem', 'code', 'unknown')) end
  local started_at = get('started_at')
  if started_at and started_at ~= '' then
    observe(math.max(now() - started_at, 0), RUN_BOUNDS, 'run', model(), how)
  end
end

-- Keep how fast a dream went, of which estimates are made: the last ones of each model in each way.
-- The pace is that between iterations, so one alone has none.
local function keep_pace()
  local plan = member('run', 'plan', {})
  local function planned(name)
    return type(plan[name]) == 'string' and plan[name] or 'unknown'
  end
  local pace = member('progress', 'seconds_per_iteration', 0)
  local costs = member('run', 'costs', {})
  local iterations = member('progress', 'iteration', 0) - (get('begins_at') or 0)
  if pace <= 0 or not next(costs) or iterations < 2 then return end
  local started_at = tonumber(get('started_at') or '')
  -- Of a dream that was taken up again nobody knows for how long it waited in between.
  local took = get('attempt') == '1' and started_at and (now() - started_at) / 1000 or nil
  local sample = {
    at = now(), model = model(), asked = member('spec', 'precision', 'exact'),
    precision = planned('precision'), executor = planned('executor'), device = planned('device'),
    threads = tonumber(plan.threads) or 0, optimizer = member('spec', 'optimizer', 'unknown'),
    costs = costs, seconds_per_iteration = pace, iterations = iterations, seconds = took,
  }
  local key = 'dreams:paces:' .. table.concat({sample.model, sample.device, sample.executor,
    sample.precision, sample.threads, sample.optimizer}, '\t')
  redis.call('SADD', 'dreams:paces', key)
  redis.call('LPUSH', key, cjson.encode(sample))
  redis.call('LTRIM', key, 0, PACES_KEPT - 1)
end

-- Every change of a record ends here: seq rises and the event says what happened.
local function changed(kind, ...)
  raise_after_restart()
  local seq = redis.call('HINCRBY', record, 'seq', 1)
  redis.call('XADD', events, 'MAXLEN', '~', EVENTS_KEPT, '*', 'type', kind, 'seq', seq, ...)
end

-- The status, while `fence` is the current attempt's; else false.
local function held(fence)
  local status = get('status')
  if get('fence') ~= fence then return false end
  return (status == 'running' or status == 'canceling') and status
end

-- 1 where the job's deadline has passed, else false; by Redis' own clock.
local function overdue()
  local expires_at = tonumber(get('expires_at') or '')
  return expires_at and expires_at <= now() and 1 or false
end

-- Why a job can't be taken: {'queue', jobs that wait, seconds from one start to the next} or
-- {'disk', bytes that others may still take}; else false.
local function refusal(places, bytes, room)
  local waiting, promised = 0, 0
  for _, queue in ipairs(QUEUES) do
    waiting = waiting + redis.call('ZCARD', 'dreams:queued:' .. queue)
  end
  if waiting >= tonumber(places) then
    local count = redis.call('LLEN', 'dreams:starts')
    local first = redis.call('LINDEX', 'dreams:starts', -1)
    return {'queue', waiting, first and math.ceil((now() - first) / count / 1000) or false}
  end
  for _, each in ipairs(redis.call('HVALS', 'dreams:disk')) do
    promised = promised + math.max(tonumber(each), 0)
  end
  if promised + tonumber(bytes) > tonumber(room) then
    return {'disk', string.format('%.0f', promised)}
  end
  return false
end

-- Somebody looks at the leases: they are judged where somebody has looked all the time. Where nobody
-- has for `blind` ms, or Redis is a new one, no worker could renew its lease either; so they have
-- `grace` ms to do it. The time is Redis' own, and what it tells one reaper it tells all.
local function watch(blind, grace)
  local present, uptime_s = life()
  local seen = redis.call('HMGET', 'dreams:watch', 'life', 'at', 'judged_from')
  if seen[1] ~= present then
    redis.call('HSET', 'dreams:watch', 'judged_from', now() - uptime_s * 1000 + grace)
  elseif now() - seen[2] > blind or tonumber(seen[3]) > now() + grace then -- the clock was set back
    redis.call('HSET', 'dreams:watch', 'judged_from', now() + grace)
  end
  redis.call('HSET', 'dreams:watch', 'life', present, 'at', now(), 'blind', blind)
end

-- Whether leases are judged at this very moment, by who has just looked.
local function judged()
  local seen = redis.call('HMGET', 'dreams:watch', 'life', 'at', 'judged_from', 'blind')
  return seen[1] == life() and now() - seen[2] <= tonumber(seen[4]) and tonumber(seen[3]) <= now()
end

local function expect_end()
  local expires_at = get('expires_at')
  if expires_at and expires_at ~= '' then redis.call('ZADD', 'dreams:deadlines', expires_at, id) end
end

local function queue_key()
  return 'dreams:queued:' .. get('queue')
end

-- Put the job in its place; `ahead`: before all that came later than it first did.
local function enqueue(ahead)
  local place = redis.call('INCR', 'dreams:places')
  redis.call('ZADD', queue_key(), ahead and place - 2 ^ 50 or place, id)
  redis.call('ZADD', 'dreams:unpublished', now(), id)
end

-- Make a frame known.
local function publish(iteration, frame)
  redis.call('ZADD', frames, iteration, frame)
  redis.call('HINCRBY', 'dreams:disk', id, -(get('frame_bytes') or 0)) -- it is taken now, not to be taken
  changed('frame', 'iteration', iteration)
end

-- Make known what isn't of frames that are on disk: iteration, frame, … from that argument on.
local function recall(at)
  for each = at, #ARGV, 2 do
    if redis.call('ZCOUNT', frames, ARGV[each], ARGV[each]) == 0 then
      publish(ARGV[each], ARGV[each + 1])
    end
  end
end

-- Go from the present status to another; false where the table of moves has no such move. A job
-- doesn't end, and {'forgetful', life} says so, where Redis has started anew since it was told of the
-- job or compared with its folder: it may have forgotten frames, and what has ended gets no others.
local function move(to, ...)
  if not MOVES[get('status')][to] then return false end
  local present = life()
  if not next(MOVES[to]) and get('compared') ~= present then return {'forgetful', present} end
  redis.call('HSET', record, 'status', to, ...)
  if to ~= 'queued' then
    redis.call('ZREM', queue_key(), id)
    redis.call('ZREM', 'dreams:unpublished', id)
    redis.call('ZREM', 'dreams:overtaken', id)
    redis.call('SREM', 'dreams:held', id)
  end
  if to ~= 'running' and to ~= 'canceling' then
    redis.call('ZREM', 'dreams:leases', id)
  end
  if not next(MOVES[to]) then
    redis.call('HSET', record, 'finished_at', now())
    redis.call('ZREM', 'dreams:deadlines', id)
    redis.call('HDEL', 'dreams:disk', id)
    redis.call('ZADD', 'dreams:ended', now(), id) -- until its folder says so
    count_end(to)
    if to == 'succeeded' then keep_pace() end
    redis.call('ZADD', 'dreams:finished', now(), id) -- until it was kept long enough
  end
  if to == 'queued' then
    enqueue(true)
  end
  changed(to)
  return to
end

-- What one GET shows: all fields, place in the queue, number of frames, number of the latest, since
-- when the queue is paused.
local function document()
  local status = get('status')
  if not status then return false end
  if next(MOVES[status]) then raise_after_restart() end -- an ending is the last there is to know
  local fields = redis.call('HGETALL', record)
  local place = redis.call('ZRANK', queue_key(), id)
  local latest = redis.call('ZRANGE', frames, -1, -1, 'WITHSCORES')
  return {id, fields, place, redis.call('ZCARD', frames), latest[2] or false,
    redis.call('GET', 'dreams:paused')}
end
