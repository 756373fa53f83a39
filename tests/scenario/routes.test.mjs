// SPDX-License-Identifier: Apache-2.0
// Routes against the real server: what they match and demand, what they answer with, explaining,
// shadow mode, maintenance, and reloads under load that never mix two configurations.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';
import { once } from './lib/wire.mjs';

const ROUTES = {
  routes: [
    { name: 'orders', path: '/orders/*', methods: ['GET'], scopes: ['orders.read', 'orders.list'] },
    { name: 'orders-write', path: '/orders/*', methods: ['POST', 'PUT'], scopes: ['orders.write'], sensitive: true },
    { name: 'order', path: '/orders/{id}', methods: ['DELETE'], roles: ['manager', 'owner'] },
    { name: 'login', path: '/login', authentication: 'none', limits: ['five'], maintenance_exempt: true },
    { name: 'catalog', path: '/catalog/*', authentication: 'optional', flags: ['cache.ttl_seconds', 'payment.enable_test_mode'] },
    { name: 'admin-host', hosts: ['admin.example', '*.admin.example'], path: '', roles: ['admin'] },
    { name: 'shadow', path: '/shadow', shadow: true, scopes: ['nobody.has'] },
    { name: 'office', path: '/office', ip_sets: ['office'] },
    { name: 'by-gateway', path: '/where', listeners: ['gateway'], authentication: 'none' },
    { name: 'everywhere', path: '/where' },
    { name: 'key', path: '/key', authentication: 'none', limits: ['per-key'] },
  ],
  limit_policies: [
    { name: 'five', rate: '5/h', key: ['ip'], algorithm: 'window', fail_mode: 'closed' },
    { name: 'per-key', rate: '2/h', key: ['header:x-api-key', 'route'], algorithm: 'window' },
  ],
  ip_sets: [{ name: 'office', default: 'deny', allow: ['192.0.2.0/24'] }],
  log: { decisions_reasons: ['INSUFFICIENT_SCOPE', 'RATE_LIMITED'] },
};

let server;
before(async () => {
  const all = { trusted_peers: ['127.0.0.0/8', 'unix'] };
  server = new Server({ config: ROUTES });
  server.config.listeners.push({ name: 'behind', address: '127.0.0.1:0', protocols: ['http1'], roles: ['gateway'], forwarded: 'x-forwarded-for', ...all });
  server.writeConfig();
  await server.start();
});
after(() => server?.stop());

const original = (method, uri, host = 'shop.example') => ({ 'X-Forwarded-Method': method, 'X-Forwarded-Uri': uri, 'X-Forwarded-Host': host });
const token = (claims) => server.issuer.mint(claims);

// What forward auth and the check say about one request must agree.
async function decide(method, uri, { claims, host, headers = {}, listener, status, route, code } = {}) {
  const text = claims === null ? null : token(claims);
  const what = `${method} ${uri}`;
  const answer = await once(server.address(listener), 'GET', '/v1/auth', {
    headers: { ...original(method, uri, host), ...(text ? { Authorization: `Bearer ${text}` } : {}), ...headers },
  });
  assert.equal(answer.status, status, `${what}: ${answer.body}`);
  if (status === 200) assert.equal(answer.headers['x-portcullis-route'], route, what);
  else assert.equal(answer.json.error.code, code, what);
  const body = { request: { method, host: host ?? 'shop.example', path: uri, headers }, ...(text ? { token: text } : {}) };
  const explained = (await once(server.address(), 'POST', '/v1/explain', { body, headers: server.bearer('viewer') })).json;
  return { answer, body, explained };
}

test('the most specific route decides, and demands its scopes and roles', async () => {
  await decide('GET', '/orders', { claims: { scope: 'orders.read orders.list' }, status: 200, route: 'orders' });
  await decide('HEAD', '/orders/7', { claims: { scope: 'orders.list orders.read x' }, status: 200, route: 'orders' });
  await decide('GET', '/orders/7', { claims: { scope: 'orders.read' }, status: 403, code: 'INSUFFICIENT_SCOPE' });
  await decide('POST', '/orders', { claims: { scope: 'orders.write' }, status: 200, route: 'orders-write' });
  await decide('POST', '/orders', { claims: { scope: 'orders.read' }, status: 403, code: 'INSUFFICIENT_SCOPE' });
  await decide('DELETE', '/orders/7', { claims: { roles: ['owner'] }, status: 200, route: 'order' });
  await decide('DELETE', '/orders/7', { claims: { roles: ['guest'] }, status: 403, code: 'INSUFFICIENT_ROLE' });
  await decide('DELETE', '/orders/7/items', { claims: {}, status: 200, route: 'default' });
  await decide('GET', '/anything', { claims: null, status: 401, code: 'TOKEN_MISSING' });
});

test('a path written in another way meets the same rule', async () => {
  for (const uri of ['/orders/7', '//orders/7', '/orders;x=1/7', '/./orders/7', '/a/../orders/7', '/%6frders/7', '/orders/7/', '/;a/orders/7?q=1']) {
    await decide('GET', uri, { claims: { scope: 'none' }, status: 403, code: 'INSUFFICIENT_SCOPE' });
  }
  for (const uri of ['/orders%2f7', '/orders\\7', '/orders/%2e%2e/%2e%2e/x']) {
    await decide('GET', uri, { claims: { scope: 'none' }, status: 400, code: 'PATH_AMBIGUOUS' });
  }
});

test('hosts compare without case and port, listeners by name', async () => {
  await decide('GET', '/x', { host: 'ADMIN.example:8443', claims: {}, status: 403, code: 'INSUFFICIENT_ROLE' });
  await decide('GET', '/x', { host: 'eu.admin.example', claims: { roles: ['admin'] }, status: 200, route: 'admin-host' });
  await decide('GET', '/x', { host: 'notadmin.example', claims: {}, status: 200, route: 'default' });
  await decide('GET', '/where', { claims: null, listener: 'gateway', status: 200, route: 'by-gateway' });
  await decide('GET', '/where', { claims: null, status: 401, code: 'TOKEN_MISSING' });
});

test('what the gateway does not tell is not guessed', async () => {
  const headers = { Authorization: `Bearer ${token({ scope: 'orders.read orders.list' })}` };
  for (const missing of ['X-Forwarded-Method', 'X-Forwarded-Uri', 'X-Forwarded-Host']) {
    const told = original('GET', '/orders');
    delete told[missing];
    const answer = await server.get('/v1/auth', { headers: { ...headers, ...told } });
    assert.equal(answer.status, 400, missing);
    assert.equal(answer.json.error.code, 'ORIGINAL_REQUEST_MISSING');
    const nginx = await server.get('/v1/auth/nginx', { headers: { ...headers, ...told } });
    assert.equal(nginx.status, 403);
    assert.equal(nginx.headers['x-portcullis-status'], '400');
  }
  const twice = await server.get('/v1/auth', { headers: { ...headers, ...original('GET', '/orders'), 'X-Original-URI': '/open' } });
  assert.equal(twice.json.error.code, 'ORIGINAL_REQUEST_AMBIGUOUS');
  const ingress = await server.get('/v1/auth', { headers: { ...headers, 'X-Original-URL': 'https://shop.example/orders?x=1', 'X-Original-Method': 'GET' } });
  assert.equal(ingress.headers['x-portcullis-route'], 'orders');
  const envoy = await server.get('/v1/auth/envoy/orders/7?x=1', { headers });
  assert.equal(envoy.headers['x-portcullis-route'], 'orders');
  assert.equal((await server.check({ token: token() })).json.code, 'ORIGINAL_REQUEST_MISSING');
});

test('optional authentication: anonymous passes, a bad token does not; flags come with the answer', async () => {
  const { answer } = await decide('GET', '/catalog/1', { claims: null, status: 200, route: 'catalog' });
  assert.equal(answer.headers['x-portcullis-subject'], '');
  assert.deepEqual(JSON.parse(answer.headers['x-portcullis-flags']), { 'cache.ttl_seconds': 300, 'payment.enable_test_mode': true });
  const named = await decide('GET', '/catalog/1', { claims: { sub: 'alice' }, status: 200, route: 'catalog' });
  assert.equal(named.answer.headers['x-portcullis-subject'], 'alice');
  await decide('GET', '/catalog/1', { claims: { exp: 1 }, status: 401, code: 'TOKEN_EXPIRED' });
});

test('a limit answers 429 with all its fields, is explained without being charged, and logged', async () => {
  const headers = { 'X-API-Key': 'k1' };
  for (let i = 1; i >= 0; i -= 1) {
    const { answer, explained } = await decide('GET', '/key', { claims: null, headers, status: 200, route: 'key' });
    assert.equal(answer.headers['x-ratelimit-limit'], '2');
    assert.equal(answer.headers['x-ratelimit-remaining'], String(i));
    assert.match(answer.headers.ratelimit, /per-key/);
    assert.equal(explained.allow, i > 0);
  }
  const { answer, explained } = await decide('GET', '/key', { claims: null, headers, status: 429, code: 'RATE_LIMITED' });
  assert.ok(Number(answer.headers['retry-after']) > 0);
  assert.equal(explained.code, 'RATE_LIMITED');
  assert.match(explained.steps.at(-1).detail, /per-key for .*too many/);
  const nginx = await server.get('/v1/auth/nginx', { headers: { ...headers, ...original('GET', '/key') } });
  assert.equal(nginx.status, 403);
  assert.equal(nginx.headers['x-portcullis-status'], '429');
  // Another key is another limit; without one the address stands in.
  await decide('GET', '/key', { claims: null, headers: { 'X-API-Key': 'k2' }, status: 200, route: 'key' });
  await until('the refusal in the log', () => /"event":"decision".*"code":"RATE_LIMITED".*"route":"key"/.test(server.log));
});

test('a route in shadow mode says what it would have done', async () => {
  const { answer, explained, body } = await decide('GET', '/shadow', { claims: { sub: 'bob' }, status: 200, route: 'shadow' });
  assert.equal(answer.headers['x-portcullis-shadow'], 'INSUFFICIENT_SCOPE');
  assert.equal(answer.headers['x-portcullis-subject'], 'bob');
  assert.equal(explained.shadow, 'INSUFFICIENT_SCOPE');
  const check = (await server.check(body)).json;
  assert.equal(check.allow, true);
  assert.equal(check.headers['X-Portcullis-Shadow'], 'INSUFFICIENT_SCOPE');
  const metrics = (await server.get('/metrics', { listener: 'admin' })).body;
  assert.match(metrics, /portcullis_shadow_decisions_total\{code="INSUFFICIENT_SCOPE"\} [1-9]/);
});

test('IP sets see the client behind the gateway; an unreadable one is refused', async () => {
  const ask = (value) => once(server.address('behind'), 'GET', '/v1/auth', {
    headers: { ...original('GET', '/office'), Authorization: `Bearer ${token()}`, 'X-Forwarded-For': value },
  });
  assert.equal((await ask('192.0.2.7')).status, 200);
  const denied = await ask('198.51.100.7');
  assert.equal(denied.status, 403);
  assert.equal(denied.json.error.code, 'IP_DENIED');
  const unreadable = await ask('unknown');
  assert.equal(unreadable.status, 400);
  assert.equal(unreadable.json.error.code, 'CLIENT_ADDRESS_INVALID');
});

test('maintenance answers 503 with Retry-After, but for exempt routes', async () => {
  const set = (value) => once(server.address(), 'POST', '/flags/maintenance.mode_enabled', { body: { value }, headers: server.bearer('operator') });
  assert.equal((await set(true)).status, 200);
  try {
    const { answer } = await decide('GET', '/orders', { claims: {}, status: 503, code: 'MAINTENANCE' });
    assert.equal(answer.headers['retry-after'], '30');
    await decide('POST', '/login', { claims: null, status: 200, route: 'login' });
  } finally {
    assert.equal((await set(false)).status, 200);
  }
});

test('PC.CHECK decides as /v1/check does', async () => {
  const resp = await server.resp();
  const body = { route: 'login', limits: [{ policy: 'per-key', key: 'over-resp' }] };
  const answers = [];
  for (let i = 0; i < 3; i += 1) answers.push(JSON.parse(await resp.command('PC.CHECK', JSON.stringify(body))));
  assert.deepEqual(answers.map((a) => a.code), ['OK', 'OK', 'RATE_LIMITED']);
  assert.deepEqual(answers[0].limits.map((l) => l.policy), ['five', 'per-key']);
  resp.close();
});

test('a bad configuration of routes is refused with its key, and the old one stays', async () => {
  const good = JSON.stringify(server.config);
  const refused = async (routes, expected) => {
    server.writeConfig(JSON.stringify({ ...server.config, routes }));
    const answer = await once(server.address(), 'POST', '/admin/reload', { headers: server.bearer('admin') });
    assert.equal(answer.status, 400, answer.body);
    assert.match(answer.json.error.message, expected);
  };
  await refused([{ name: 'a', path: 'x' }], /routes\[0\]\.path/);
  await refused([{ name: 'a', path: '/x' }, { name: 'b', path: '/x/' }], /routes\[0\] \(a\) and routes\[1\] \(b\)/);
  await refused([{ name: 'a', authentication: 'none', roles: ['x'] }], /routes\[0\]\.roles/);
  server.writeConfig(good);
  await decide('GET', '/orders', { claims: { scope: 'orders.read orders.list' }, status: 200, route: 'orders' });
});

// Route, policy and limit of every generation carry its number: an answer with two of them mixes
// two configurations.
test('reloads under load: no decision fails and none mixes two configurations', async () => {
  const own = new Server({});
  const generation = (n) => {
    own.config.routes = [
      { name: `route-${n}`, path: '/gen', scopes: [n % 2 ? 'even' : 'odd'], limits: [`policy-${n % 3}`], ip_sets: [`set-${n % 2}`] },
      ...Array.from({ length: n % 7 }, (_, i) => ({ name: `other-${i}`, path: `/other/${i}`, authentication: 'none' })),
    ];
    own.config.limit_policies = [{ name: `policy-${n % 3}`, rate: `${1000000 + n}/s`, key: ['subject'] }];
    own.config.ip_sets = [{ name: `set-${n % 2}`, default: 'deny', allow: ['127.0.0.0/8'] }];
    own.writeConfig();
  };
  generation(0);
  await own.start();
  let stopped = false;
  let answers = 0;
  const seen = new Set();
  const lane = async () => {
    const http = await own.http();
    const headers = { Authorization: `Bearer ${own.issuer.mint({ scope: 'even odd' })}`, 'X-Forwarded-Uri': '/gen' };
    while (!stopped) {
      const answer = await http.request('GET', '/v1/auth', { headers });
      assert.equal(answer.status, 200, answer.body);
      const n = Number(/^route-(\d+)$/.exec(answer.headers['x-portcullis-route'])[1]);
      assert.equal(Number(answer.headers['x-ratelimit-limit']), 1000000 + n);
      assert.match(answer.headers.ratelimit, new RegExp(`"policy-${n % 3}"`));
      seen.add(n);
      answers += 1;
    }
    http.close();
  };
  try {
    const lanes = Array.from({ length: 6 }, lane);
    await until('the first answers', () => answers > 20);
    for (let n = 1; n <= 60; n += 1) {
      generation(n);
      const reload = await once(own.address(), 'POST', '/admin/reload', { headers: own.bearer('admin') });
      assert.equal(reload.status, 200, reload.body);
    }
    await until('an answer by the last configuration', () => seen.has(60));
    stopped = true;
    await Promise.all(lanes);
    assert.ok(seen.size > 3, `${[...seen]}`);
  } finally {
    stopped = true;
    await own.stop();
  }
});
