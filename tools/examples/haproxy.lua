-- SPDX-License-Identifier: Apache-2.0
-- The action lua.portcullis: asks Portcullis about a request with HAProxy's own HTTP client and
-- leaves the answer in variables of the transaction. An answer that does not come leaves status
-- 503: the configuration refuses then. The address is PORTCULLIS_AUTH_URL (setenv in the
-- configuration); its host must be an address, or HAProxy needs resolvers.

local url = os.getenv("PORTCULLIS_AUTH_URL")
local timeout_ms = 1000

-- Always there on an allow, perhaps empty.
local identity = { "subject", "client", "session", "token-id", "issuer", "scopes", "roles", "route" }

-- Header of the answer -> variable; not set where the answer does not have it.
local others = {
    ["x-portcullis-flags"] = "flags",
    ["www-authenticate"] = "challenge",
    ["ratelimit-policy"] = "limit_policy",
    ["ratelimit"] = "limit",
}

local function first(headers, name)
    local values = headers and headers[name]
    return values and values[0]
end

-- All values of a request header, as HAProxy hands them over (counted from 0).
local function values_of(headers, name)
    local values = headers[name]
    if not values then
        return nil
    end
    local list = {}
    for i = 0, #values do
        list[i + 1] = values[i]
    end
    return list
end

core.register_action("portcullis", { "http-req" }, function(txn)
    txn:set_var("txn.portcullis.status", 503)
    txn:set_var("txn.portcullis.retry_after", "1")
    local headers = txn.http:req_get_headers()
    local response = core.httpclient():get({
        url = url,
        timeout = timeout_ms,
        headers = {
            ["host"] = { "portcullis" },
            ["authorization"] = values_of(headers, "authorization"),
            ["x-forwarded-uri"] = { txn.f:url() },
            ["x-forwarded-method"] = { txn.f:method() },
            ["x-forwarded-host"] = values_of(headers, "host"),
            -- Believed where the listener says `forwarded: x-forwarded-for`.
            ["x-forwarded-for"] = { txn.f:src() },
            ["x-request-id"] = values_of(headers, "x-request-id"),
        },
    })
    if not response or not response.status then
        return
    end
    txn:set_var("txn.portcullis.status", response.status)
    txn:set_var("txn.portcullis.retry_after", first(response.headers, "retry-after") or "1")
    for _, name in ipairs(identity) do
        txn:set_var("txn.portcullis." .. name:gsub("-", "_"), first(response.headers, "x-portcullis-" .. name) or "")
    end
    for name, variable in pairs(others) do
        local value = first(response.headers, name)
        if value then
            txn:set_var("txn.portcullis." .. variable, value)
        end
    end
end)
