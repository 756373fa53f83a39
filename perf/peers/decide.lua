-- SPDX-License-Identifier: Apache-2.0
-- What a gateway decides by itself with ngx.shared: is the token's id on the blacklist, and is its
-- subject within its limit (GCRA, one arrival time for each subject)? The ids are read from the
-- token, whose signature is not looked at; or, cheaper, something before us put them in headers.
-- Each returns nil, or the status to refuse with.
local cjson = require "cjson.safe"
local base64 = require "ngx.base64"
local blacklist, arrivals = ngx.shared.blacklist, ngx.shared.arrivals
local find, sub = string.find, string.sub
local INTERVAL_S, TOLERANCE_S, KEEP_S = 1e-9, 1, 60

local decide = {}

local function allowed(id, subject)
    if not id or not subject or blacklist:get(id) then
        return 401
    end
    local now = ngx.now()
    local arrival = arrivals:get(subject)
    if not arrival or arrival < now then
        arrival = now
    end
    arrival = arrival + INTERVAL_S
    if arrival - now > TOLERANCE_S then
        return 429
    end
    arrivals:set(subject, arrival, KEEP_S)
end

-- The part between the dots of a bearer token, or nothing. LuaJIT compiles plain find and sub, and
-- no pattern: header:match() takes thirty times as long.
local function payload_of(header)
    if not header or sub(header, 1, 7) ~= "Bearer " then
        return
    end
    local first = find(header, ".", 8, true)
    local second = first and find(header, ".", first + 1, true)
    return second and sub(header, first + 1, second - 1)
end

-- id and subject, or nothing
function decide.read_token()
    local payload = payload_of(ngx.var.http_authorization)
    local text = payload and base64.decode_base64url(payload)
    local claims = text and cjson.decode(text)
    if claims then
        return claims.jti, claims.sub
    end
end

function decide.by_token()
    return allowed(decide.read_token())
end

function decide.by_headers()
    return allowed(ngx.var.http_x_jti, ngx.var.http_x_subject)
end

return decide
