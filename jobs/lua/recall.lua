-- id, life, iteration, frame, … → nothing. These frames are on disk, as somebody has seen who was told
-- of that life: of a job that goes on, Redis has forgotten none of before it any more.
local status = get('status')
if not status or not next(MOVES[status]) then return end
recall(3)
redis.call('HSET', record, 'compared', ARGV[2])
