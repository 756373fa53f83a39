-- What people write when they have redis and no module: the same five answers as CL.THROTTLE.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval = ARGV[3] * 1000000 / ARGV[2]
local tolerance = interval * (ARGV[1] + 1)
local arrival = tonumber(redis.call('GET', KEYS[1])) or now
if arrival < now then arrival = now end
local debt = arrival + interval - now
if debt > tolerance then
  return {1, ARGV[1] + 1, math.floor((tolerance - debt + interval) / interval),
          math.ceil((debt - tolerance) / 1000000), math.ceil((debt - interval) / 1000000)}
end
redis.call('SET', KEYS[1], string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
return {0, ARGV[1] + 1, math.floor((tolerance - debt) / interval), -1, math.ceil(debt / 1000000)}
