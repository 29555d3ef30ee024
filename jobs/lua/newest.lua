-- id of the last one seen or '', limit → documents, the newest first; ids sort by time.
local from = id == '' and '+' or '(' .. id
local found = {}
for _, each in ipairs(redis.call('ZREVRANGEBYLEX', 'dreams:all', from, '-', 'LIMIT', 0, ARGV[2])) do
  id, record = each, 'dream:' .. each
  frames = record .. ':frames'
  found[#found + 1] = document() or nil
end
return found
