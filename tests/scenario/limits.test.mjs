// SPDX-License-Identifier: Apache-2.0
// Rate limits against the real server: taking, looking and resetting over HTTP, the values and
// fields of answers, who may do what, the busiest keys, CL.THROTTLE, metrics, the command, and
// that counts outlive a reload.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { cli, Server } from './lib/server.mjs';
import { once } from './lib/wire.mjs';

let server;

const policies = [
  { name: 'ip', rate: '3/h' },
  { name: 'api', rate: '10/h', key: ['subject'], burst: 5 },
  { name: 'hourly', rate: '4/h', algorithm: 'window', fail_mode: 'closed' },
  { name: 'quiet', rate: '1/h', shadow: true },
  { name: 'small', rate: '2/h', max_keys: 1024, fail_mode: 'closed', key: ['subject'] },
  { name: 'dear', rate: '100/h', cost: 40 },
];

before(async () => { server = await Server.start({ config: { limit_policies: policies } }); });
after(() => server?.stop());

const call = (method, policy, key, { body, role = 'gateway', listener } = {}) => once(
  server.address(listener), method, `/v1/limits/${policy}/${encodeURIComponent(key)}`,
  { body, headers: role ? server.bearer(role) : {} });
const take = (policy, key, body, role) => call('POST', policy, key, { body, role });
const peek = (policy, key) => call('GET', policy, key);
const reset = (policy, key, role = 'operator') => call('DELETE', policy, key, { role });
const within = (value, low, high) => assert.ok(value >= low && value <= high, `${value} is not in ${low}..${high}`);
const header = (answer, name) => answer.headers[name.toLowerCase()];

test('a limit passes its burst, then refuses with 429 and says how long to wait', async () => {
  for (let left = 2; left >= 0; left--) {
    const answer = await take('ip', '192.0.2.1');
    assert.equal(answer.status, 200);
    const { reset_ms: resetMs, ...rest } = answer.json;
    assert.deepEqual(rest, { allow: true, code: 'OK', key: '192.0.2.1', cost: 1, policy: 'ip', limit: 3, remaining: left, retry_after_ms: 0 });
    within(resetMs, (3 - left) * 1200_000 - 60_000, (3 - left) * 1200_000);
  }
  const refused = await take('ip', '192.0.2.1');
  assert.equal(refused.status, 429);
  assert.equal(refused.json.allow, false);
  assert.equal(refused.json.code, 'RATE_LIMITED');
  assert.equal(refused.json.error.code, 'RATE_LIMITED');
  assert.equal(refused.json.error.request_id, header(refused, 'X-Request-ID'));
  assert.equal(refused.json.remaining, 0);
  within(refused.json.retry_after_ms, 1140_000, 1200_000);
  assert.equal(Number(header(refused, 'Retry-After')), Math.ceil(refused.json.retry_after_ms / 1000));
});

test('answers carry the RateLimit fields of the draft and the X-RateLimit ones', async () => {
  const answer = await take('api', 'fields', { cost: 2 });
  assert.equal(header(answer, 'RateLimit-Policy'), '"api";q=5;w=1800');
  assert.match(header(answer, 'RateLimit'), /^"api";r=3;t=7(20|1\d)$/);
  assert.equal(header(answer, 'X-RateLimit-Limit'), '5');
  assert.equal(header(answer, 'X-RateLimit-Remaining'), '3');
  assert.equal(header(answer, 'X-RateLimit-Reset'), String(Math.ceil(answer.json.reset_ms / 1000)));
});

test('looking changes nothing; cost 0 neither', async () => {
  await take('api', 'looking', { cost: 2 });
  for (let i = 0; i < 3; i++) {
    const seen = await peek('api', 'looking');
    assert.equal(seen.status, 200);
    assert.equal(seen.json.allow, true);
    assert.equal(seen.json.remaining, 3);
    assert.equal((await take('api', 'looking', { cost: 0 })).json.remaining, 3);
  }
  await take('api', 'looking', { cost: 3 });
  const full = await peek('api', 'looking');
  assert.equal(full.status, 200); // the question was answered
  assert.equal(full.json.allow, false);
});

test('a cost above what is left is refused whole; above the limit it never passes', async () => {
  await take('api', 'costs', { cost: 4 });
  assert.equal((await take('api', 'costs', { cost: 2 })).status, 429);
  assert.equal((await peek('api', 'costs')).json.remaining, 1);
  const never = await take('api', 'costs', { cost: 6 });
  assert.equal(never.status, 429);
  assert.equal(never.json.retry_after_ms, null);
  assert.equal(header(never, 'Retry-After'), undefined);
  assert.match(never.json.error.message, /never/);
});

test('without a cost the policy says it', async () => {
  assert.equal((await take('dear', 'x')).json.remaining, 60);
  assert.equal((await take('dear', 'x')).json.remaining, 20);
  assert.equal((await take('dear', 'x')).status, 429);
});

test('a window counts like a burst of its own', async () => {
  for (let i = 0; i < 4; i++) assert.equal((await take('hourly', 'w')).status, 200);
  const refused = await take('hourly', 'w');
  assert.equal(refused.status, 429);
  within(refused.json.retry_after_ms, 1, 7200_000);
});

test('in shadow mode a limit that would refuse lets pass and says so', async () => {
  await take('quiet', 's');
  const shadowed = await take('quiet', 's');
  assert.equal(shadowed.status, 200);
  assert.equal(shadowed.json.allow, true);
  assert.equal(shadowed.json.code, 'RATE_LIMITED');
});

test('an operator resets a key; a gateway may not', async () => {
  for (let i = 0; i < 3; i++) await take('ip', '198.51.100.9');
  assert.equal((await take('ip', '198.51.100.9')).status, 429);
  assert.equal((await reset('ip', '198.51.100.9', 'gateway')).status, 403);
  const done = await reset('ip', '198.51.100.9');
  assert.equal(done.status, 200);
  assert.equal(done.json.policy, 'ip');
  assert.equal(done.json.key, '198.51.100.9');
  assert.equal(done.json.reset, true);
  assert.equal((await reset('ip', '198.51.100.9')).json.reset, false);
  assert.equal((await take('ip', '198.51.100.9')).json.remaining, 2);
});

test('a reset is on record', async () => {
  const own = await Server.start();
  const answer = await once(own.address(), 'DELETE', '/v1/limits/login/alice', { headers: own.bearer('operator') });
  assert.equal(answer.status, 200);
  assert.equal(answer.json.audited, undefined);
  await own.stop();
  const dump = await cli(['journal', 'dump'], { env: { PORTCULLIS_DATA_DIR: own.dataDir } });
  assert.match(dump.stdout, /limit_reset/);
  assert.match(dump.stdout, /alice/);
});

test('strict mode halves every limit at once', async () => {
  const flag = (value) => once(server.address(), 'POST', '/flags/api.rate_limit_strict', { body: { value }, headers: server.bearer('operator') });
  await take('api', 'strict', { cost: 1 });
  assert.equal((await flag(true)).status, 200);
  const strict = await peek('api', 'strict');
  assert.equal(strict.json.limit, 2);
  assert.equal(strict.json.remaining, 1); // the debt is a time: 6 minutes, and a token takes 12 now
  assert.equal(header(strict, 'RateLimit-Policy'), '"api";q=2;w=1440');
  assert.equal((await flag(false)).status, 200);
  assert.equal((await peek('api', 'strict')).json.limit, 5);
});

test('an address is one key in any notation, an IPv6 one by its first half', async () => {
  await take('ip', '2001:db8:7:8::1');
  assert.equal((await peek('ip', '2001:DB8:7:8:ffff::2')).json.remaining, 2);
  assert.equal((await peek('ip', '2001:db8:7:9::1')).json.remaining, 3);
  assert.equal((await peek('ip', '2001:db8:7:8::1')).json.key, '2001:db8:7:8::');
});

test('what cannot be asked is refused with a reason', async () => {
  for (const [answer, status, code, text] of [
    [await take('nobody', 'k'), 404, 'POLICY_UNKNOWN', /nobody/],
    [await take('ip', 'k', { cost: -1 }), 400, 'BAD_REQUEST', /cost/],
    [await take('ip', 'k', { cost: 1.5 }), 400, 'BAD_REQUEST', /cost/],
    [await take('ip', 'k', { cost: 1e10 }), 400, 'BAD_REQUEST', /cost/],
    [await take('ip', 'k', { price: 1 }), 400, 'BAD_REQUEST', /cost/],
    [await take('ip', 'k', [1]), 400, 'BAD_REQUEST', /object/],
    [await take('ip', 'k', '{'), 400, 'JSON_INVALID', /line 1/],
    [await take('ip', 'x'.repeat(2049)), 400, 'BAD_REQUEST', /2048/],
    [await take('ip', 'k', undefined, null), 401, 'CREDENTIAL_REQUIRED', /./],
  ]) {
    assert.equal(answer.status, status, JSON.stringify(answer.json));
    if (status !== 401) assert.equal(answer.json.error.code, code);
    assert.match(answer.json.error.message, text);
  }
});

test('a table without room fails as its policy says, and is counted', async () => {
  const takes = await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    const http = await server.http();
    let full = 0;
    for (let k = 0; k < 150; k++) {
      const answer = await http.request('POST', `/v1/limits/small/flood-${i}-${k}`, { body: { cost: 2 }, headers: server.bearer('gateway') });
      if (answer.status === 503) {
        assert.equal(answer.json.error.code, 'LIMIT_UNAVAILABLE');
        assert.equal(answer.json.remaining, null);
        full++;
      } else assert.equal(answer.status, 200);
    }
    http.close();
    return full;
  }));
  const full = takes.reduce((a, b) => a + b);
  assert.ok(full > 500, `${full} of 2400 keys found no room in a table for 1024`);
  const metrics = await server.get('/metrics');
  assert.match(metrics.body, new RegExp(`^portcullis_limit_no_room_total\\{policy="small"\\} ${full}$`, 'm'));
  assert.match(metrics.body, new RegExp(`^portcullis_limit_takes_total\\{policy="small",result="unavailable"\\} ${full}$`, 'm'));
  assert.match(metrics.body, /^portcullis_limit_evictions_total\{policy="small",kind="active"\} 0$/m);
});

test('the busiest keys are listed, refusals among them', async () => {
  for (let i = 0; i < 9; i++) await take('api', 'eve|~1');
  const top = await once(server.address(), 'GET', '/admin/limits/top', { headers: server.bearer('viewer') });
  assert.equal(top.status, 200);
  const entry = top.json.keys.find((one) => one.key === 'eve|~1');
  assert.ok(entry, JSON.stringify(top.json));
  assert.equal(entry.policy, 'api');
  assert.equal(entry.refused, 4);
  assert.equal(entry.near_limit, 2);
  within(entry.last_ms, Date.now() - 600_000, Date.now() + 1000);
  assert.equal((await once(server.address(), 'GET', '/admin/limits/top', { headers: server.bearer('gateway') })).status, 403);
});

test('metrics tell takes by policy and result', async () => {
  const { body: text } = await server.get('/metrics');
  assert.match(text, /^portcullis_limit_takes_total\{policy="quiet",result="shadowed"\} 1$/m);
  assert.match(text, /^portcullis_limit_takes_total\{policy="hourly",result="refused"\} 1$/m);
  assert.match(text, /^portcullis_limit_takes_total\{policy="login",result="allowed"\} 0$/m); // shipped
});

test('what was counted outlives a reload; a changed rate applies to it', async () => {
  await take('api', 'reload', { cost: 4 });
  server.config.limit_policies[1].rate = '20/h';
  server.config.limit_policies[1].burst = 10;
  server.writeConfig();
  const reloaded = await once(server.address(), 'POST', '/admin/reload', { headers: server.bearer('admin') });
  assert.equal(reloaded.status, 200, reloaded.body);
  const seen = await peek('api', 'reload');
  assert.equal(seen.json.limit, 10);
  assert.equal(seen.json.remaining, 2); // 24 minutes of debt at one in 3 minutes
  server.config.limit_policies[1].rate = 'often';
  server.writeConfig();
  const refused = await once(server.address(), 'POST', '/admin/reload', { headers: server.bearer('admin') });
  assert.equal(refused.status, 400);
  assert.match(refused.json.error.message, /limit_policies\[1\]\.rate/);
  assert.equal((await peek('api', 'reload')).json.limit, 10);
});

// ---- CL.THROTTLE

test('CL.THROTTLE answers as redis-cell does', async () => {
  const resp = await server.resp('resp', 'gateway');
  const throttle = (...args) => resp.command('CL.THROTTLE', ...args.map(String));
  assert.deepEqual(await throttle('user123', 15, 30, 60), [0, 16, 15, -1, 2]);
  assert.deepEqual(await throttle('one', 0, 1, 3600), [0, 1, 0, -1, 3600]);
  assert.deepEqual(await throttle('one', 0, 1, 3600), [1, 1, 0, 3600, 3600]);
  assert.deepEqual(await throttle('one', 0, 1, 3600, 0), [0, 1, 0, -1, 3600]);
  assert.deepEqual(await throttle('much', 4, 1, 3600, 6), [1, 5, 5, -1, 0]);
  assert.deepEqual(await throttle('back', 9, 1, 3600, 5), [0, 10, 5, -1, 18000]);
  assert.deepEqual(await throttle('back', 9, 1, 3600, -3), [0, 10, 8, -1, 7200]);
  const error = async (pattern, ...args) => assert.match(String((await throttle(...args)).message), pattern);
  await error(/^Cell error: Store error: Usage: cl\.throttle <key> <max_burst> <count per period> <period> \[<quantity>\]$/, 'k', 1, 2);
  await error(/^Cell error: Store error: Couldn't parse as integer: many$/, 'k', 'many', 1, 1);
  await error(/^Cell error: Store error: Zero rates are not supported$/, 'k', 1, 0, 60);
  await error(/^Cell error: Store error: Error while setting key expire$/, 'k', 1, 1, 60, -1);
  await error(/^ERR count and period must be positive$/, 'k', 1, -1, 60);
  await error(/^ERR out of range/, 'k', '9223372036854775807', 1, 60);
  resp.close();
});

test('CL.THROTTLE takes, so it needs AUTH; pipelined behind mutations it waits for its turn', async () => {
  const stranger = await server.resp('resp', null);
  assert.match(String((await stranger.command('CL.THROTTLE', 'k', '1', '1', '60')).message), /^NOAUTH/);
  stranger.close();
  const resp = await server.resp('resp', 'gateway');
  const answers = await resp.pipeline([
    ['SET', 'bl:throttle-1', '1', 'EX', '60'],
    ['CL.THROTTLE', 'pipelined', '1', '1', '3600'],
    ['SET', 'bl:throttle-2', '1', 'EX', '60'],
    ['CL.THROTTLE', 'pipelined', '1', '1', '3600'],
  ]);
  assert.deepEqual(answers, ['OK', [0, 2, 1, -1, 3600], 'OK', [0, 2, 0, -1, 7200]]);
  resp.close();
});

test('a long pipeline of look-ups, takes and mistakes is answered in its order', async () => {
  const resp = await server.resp('resp', 'gateway');
  const commands = Array.from({ length: 100 }, (_, i) => [
    ['EXISTS', 'bl:not-there'], ['CL.THROTTLE', 'mixed', '99', '1', '3600'], ['CL.THROTTLE', 'mixed', 'x', '1', '1'],
    ['CL.THROTTLE', `mixed-${i}`, '0', '1', '3600'], ['GET', 'bl:not-there'],
  ][i % 5]);
  let left = 100;
  (await resp.pipeline(commands)).forEach((answer, i) => {
    if (i % 5 === 1) left--;
    if (i % 5 === 2) assert.match(String(answer.message), /parse as integer: x$/);
    else assert.deepEqual(answer, [0, [0, 100, left, -1, 3600 * (100 - left)], null, [0, 1, 0, -1, 3600], null][i % 5]);
  });
  resp.close();
});

// ---- the command

test('the command takes, looks, resets and lists', async () => {
  const taken = await server.cli(['limits', 'take', 'ip', '203.0.113.5', '--cost', '3']);
  assert.equal(taken.code, 0, taken.stderr);
  assert.match(taken.stdout, /^allowed +OK$/m);
  const refused = await server.cli(['limits', 'take', 'ip', '203.0.113.5', '--json']);
  assert.equal(refused.code, 1);
  assert.equal(JSON.parse(refused.stdout).code, 'RATE_LIMITED');
  assert.match((await server.cli(['limits', 'peek', 'ip', '203.0.113.5'])).stdout, /^remaining +0$/m);
  const top = await server.cli(['limits', 'top']);
  assert.equal(top.code, 0);
  assert.match(top.stdout, /^ +1 +1 {2}ip +203\.0\.113\.5$/m);
  assert.match((await server.cli(['limits', 'reset', 'ip', '203.0.113.5'])).stdout, /^reset$/m);
  assert.match((await server.cli(['limits', 'reset', 'ip', '203.0.113.5'])).stdout, /taken nothing/);
  assert.equal((await server.cli(['limits', 'take', 'ip', 'k', '--cost', 'much'])).code, 2);
  const unknown = await server.cli(['limits', 'peek', 'nobody', 'k']);
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /nobody/);
});
