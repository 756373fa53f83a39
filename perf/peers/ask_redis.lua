-- SPDX-License-Identifier: Apache-2.0
-- The same decision, but blacklist and limit are kept in redis: one round trip to a script that
-- looks at one and takes from the other, over a connection that is kept. lua-nginx-redis is the client.
local redis = require "nginx.redis"
local decide = require "decide"
local IDLE_MS, POOL, BURST, COUNT, PERIOD_S = 3600000, 64, 999999999, 1000000000, 1

return function(port, script)
    local id, subject = decide.read_token()
    if not id or not subject then
        return 401
    end
    local connection = redis:new()
    local ok = connection:connect("127.0.0.1", port)
    if not ok then
        return 503
    end
    local status = connection:evalsha(script, 2, "bl:" .. id, "limit:" .. subject, BURST, COUNT, PERIOD_S)
    if not status then
        return 503
    end
    connection:set_keepalive(IDLE_MS, POOL)
    if status ~= 200 then
        return status
    end
end
