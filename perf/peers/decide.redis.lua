-- Blacklist and limit in one call: KEYS are both keys; the answer is the status to give.
if redis.call('EXISTS', KEYS[1]) == 1 then return 401 end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval = ARGV[3] * 1000000 / ARGV[2]
local arrival = tonumber(redis.call('GET', KEYS[2])) or now
if arrival < now then arrival = now end
local debt = arrival + interval - now
if debt > interval * (ARGV[1] + 1) then return 429 end
redis.call('SET', KEYS[2], string.format('%.3f', now + debt), 'PX', math.max(1, math.ceil(debt / 1000)))
return 200
