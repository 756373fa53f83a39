// SPDX-License-Identifier: Apache-2.0
// IP rules: configured and added at run time, who is let in, listing, limits, survival of restarts;
// the client's address behind proxies, forwarded headers and the PROXY protocol.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { scratch, Server } from './lib/server.mjs';
import { until, untilClock } from './lib/wait.mjs';
import { Http, once, Resp, RespError, Wire } from './lib/wire.mjs';

const RULES = '/admin/ip-rules';
const all = ['gateway', 'public', 'admin'];
const tcp = '127.0.0.1:0';
const trusted = ['127.0.0.0/8', '10.0.0.0/8', 'unix'];

// 198.51.100.0/24 is the block list's; 203.0.113.0/24 is what rules at run time are about.
function configured() {
  const dir = scratch('ip-rules');
  fs.writeFileSync(path.join(dir, 'drop.txt'), '# a list\n198.51.100.0/24 ; SBL1\nallow 198.51.100.7 # a friend\n2001:db8:bad::/48\n');
  return new Server({
    dir,
    config: {
      listeners: [
        { name: 'http', address: tcp, protocols: ['http1'], roles: all, trusted_peers: trusted, forwarded: 'x-forwarded-for' },
        { name: 'rfc7239', address: tcp, protocols: ['http1'], roles: all, trusted_peers: trusted, forwarded: 'forwarded' },
        { name: 'unix', address: `unix:${dir}/http.sock`, protocols: ['http1'], roles: all, trusted_peers: trusted, forwarded: 'x-forwarded-for' },
        { name: 'proxied', address: tcp, protocols: ['http1'], roles: all, trusted_peers: trusted, proxy_protocol: true },
        { name: 'both', address: tcp, protocols: ['http1'], roles: all, trusted_peers: trusted, proxy_protocol: true, forwarded: 'x-forwarded-for' },
        { name: 'strangers', address: tcp, protocols: ['http1'], roles: all, trusted_peers: ['192.0.2.0/24'], proxy_protocol: true },
        { name: 'resp', address: tcp, protocols: ['resp'], roles: ['gateway'], trusted_peers: trusted, proxy_protocol: true },
      ],
      ip_sets: [
        { name: 'office', default: 'deny', allow: ['192.0.2.0/24', '2001:db8::/32'], deny: ['192.0.2.128/25'] },
        { name: 'global', file: path.join(dir, 'drop.txt') },
      ],
      routes: [{ name: 'inside', path: '/inside/*', ip_sets: ['office'] }],
    },
  });
}

let server;
let token;
before(async () => {
  server = await configured().start();
  token = server.issuer.mint();
});
after(() => server?.stop());

const change = (method, body, role = 'operator') => once(server.address('http'), method, RULES, { body, headers: server.bearer(role) });
const add = (body, role) => change('POST', body, role);
const remove = (body, role) => change('DELETE', body, role);
const list = async (query = '', role = 'viewer') => (await server.get(`${RULES}${query}`, { headers: server.bearer(role) })).json;

// The code of a decision about a request of this client: OK, IP_DENIED, …
async function decide(client, { listener = 'http', uri = '/outside' } = {}) {
  const name = listener === 'rfc7239' ? 'Forwarded' : 'X-Forwarded-For';
  const headers = { 'X-Forwarded-Uri': uri, 'X-Forwarded-Method': 'GET', 'X-Forwarded-Host': 'api.test' };
  if (client !== null) headers[name] = client;
  const answer = await server.auth(token, { listener, headers });
  return answer.status === 200 ? 'OK' : answer.json.error.code;
}

async function metric(name) {
  const text = (await server.get('/metrics')).body;
  const line = text.split('\n').find((l) => l.startsWith(`${name} `));
  assert.ok(line, name);
  return Number(line.slice(name.length + 1));
}

test('the configured sets decide: list file, words, defaults, the longest prefix', async () => {
  assert.equal(await decide('203.0.113.1'), 'OK');
  assert.equal(await decide('198.51.100.1'), 'IP_DENIED');
  assert.equal(await decide('198.51.100.7'), 'OK');
  assert.equal(await decide('::ffff:198.51.100.1'), 'IP_DENIED', 'the same host in IPv6 clothes');
  assert.equal(await decide('2001:db8:bad::1'), 'IP_DENIED');
  assert.equal(await decide('2001:db8::1', { uri: '/inside/x' }), 'OK');
  assert.equal(await decide('192.0.2.1', { uri: '/inside/x' }), 'OK');
  assert.equal(await decide('192.0.2.200', { uri: '/inside/x' }), 'IP_DENIED');
  assert.equal(await decide('203.0.113.1', { uri: '/inside/x' }), 'IP_DENIED');
  assert.equal(await decide('198.51.100.1', { uri: '/inside/x' }), 'IP_DENIED', 'global applies to every route');
});

test('a rule decides as soon as its answer was read, and so does its removal', async () => {
  for (let i = 0; i < 5; i++) {
    const answer = await add({ cidr: '203.0.113.0/24', action: 'deny', reason: 'scanning' });
    assert.equal(answer.status, 200, answer.body);
    assert.deepEqual({ ...answer.json.rule, created_at: 0 }, {
      set: 'global', cidr: '203.0.113.0/24', action: 'deny', source: 'runtime', reason: 'scanning',
      actor: 'token:test-operator', created_at: 0, expires_at: null,
    });
    assert.equal(await decide('203.0.113.9'), 'IP_DENIED');
    assert.equal((await add({ cidr: '203.0.113.9', action: 'allow' })).status, 200);
    assert.equal(await decide('203.0.113.9'), 'OK');
    assert.equal(await decide('203.0.113.10'), 'IP_DENIED');
    const removed = await remove([{ cidr: '203.0.113.9/32' }, { cidr: '203.0.113.0/24' }]);
    assert.deepEqual(removed.json, { message: '2 IP rules were removed', removed: 2 });
    assert.equal(await decide('203.0.113.10'), 'OK');
  }
});

test('runtime rules beat configured ones of the same length, and only of the same or a shorter one', async () => {
  await add([{ cidr: '198.51.100.0/24', action: 'allow' }, { cidr: '198.51.0.0/16', action: 'deny' }]);
  assert.equal(await decide('198.51.100.1'), 'OK');
  assert.equal(await decide('198.51.7.1'), 'IP_DENIED');
  await add({ set: 'office', cidr: '0.0.0.0/0', action: 'allow' });
  assert.equal(await decide('203.0.113.1', { uri: '/inside/x' }), 'OK');
  assert.equal(await decide('192.0.2.200', { uri: '/inside/x' }), 'IP_DENIED', 'the configured /25 is longer');
  await remove([{ cidr: '198.51.100.0/24' }, { cidr: '198.51.0.0/16' }, { set: 'office', cidr: '0.0.0.0/0' }]);
  assert.equal(await decide('198.51.100.1'), 'IP_DENIED');
});

test('a rule expires by itself, and the next longer prefix decides again', async () => {
  const at = Math.ceil(Date.now() / 1000) + 2;
  await add([{ cidr: '203.0.113.0/24', action: 'deny', expires_at: at + 600 }, { cidr: '203.0.113.5', action: 'allow', expires_at: at }]);
  assert.equal(await decide('203.0.113.5'), 'OK');
  await untilClock(at * 1000 + 50);
  assert.equal(await decide('203.0.113.5'), 'IP_DENIED');
  const rule = (await list('?source=runtime')).rules.find((r) => r.cidr === '203.0.113.5/32');
  assert.ok(!rule || rule.expired);
  await add({ cidr: '203.0.113.5', action: 'allow', ttl: '1h' }); // replaces it
  assert.equal(await decide('203.0.113.5'), 'OK');
  await remove([{ cidr: '203.0.113.5' }, { cidr: '203.0.113.0/24' }]);
});

test('the list tells everything, page by page, whatever changes between the pages', async () => {
  await add([
    { cidr: '203.0.113.0/24', action: 'deny', reason: 'r1', ttl: 600 },
    { set: 'office', cidr: '203.0.113.77', action: 'allow', reason: 'r2' },
  ]);
  const whole = await list();
  const brief = ({ set, source, action, cidr, reason }) => [set, source, action, cidr, reason].join(' ');
  assert.deepEqual(whole.rules.map(brief), [
    'global configured deny 198.51.100.0/24 SBL1',
    'global configured allow 198.51.100.7/32 a friend',
    'global configured deny 2001:db8:bad::/48 ',
    'global runtime deny 203.0.113.0/24 r1',
    'office configured allow 192.0.2.0/24 ',
    'office configured deny 192.0.2.128/25 ',
    'office configured allow 2001:db8::/32 ',
    'office runtime allow 203.0.113.77/32 r2',
  ]);
  assert.deepEqual(whole.total, { configured: 6, runtime: 2, dormant: 0 });
  assert.equal(whole.next, null);
  const rule = whole.rules[3];
  assert.equal(rule.actor, 'token:test-operator');
  assert.ok(Math.abs(rule.created_at - Date.now() / 1000) < 60);
  assert.ok(Math.abs(rule.expires_at - rule.created_at - 600) < 2);

  const paged = [];
  let next = '';
  do {
    const page = await list(`?limit=1${next && `&after=${encodeURIComponent(next)}`}`);
    assert.equal(page.rules.length, 1);
    paged.push(...page.rules);
    next = page.next;
    await add({ cidr: '1.2.3.4', action: 'deny', reason: String(paged.length) }); // sorts before its page
  } while (next);
  assert.deepEqual(paged.filter((r) => r.cidr !== '1.2.3.4/32').map(brief), whole.rules.map(brief));
  assert.deepEqual((await list('?set=office&source=runtime')).rules.map(brief), ['office runtime allow 203.0.113.77/32 r2']);
  assert.deepEqual((await list('?source=configured&set=global')).rules.length, 3);
  assert.equal((await list('?set=office&limit=2')).next, 'configured:office:192.0.2.128/25');
  for (const bad of ['?limit=0', '?limit=1001', '?after=x', '?source=both', '?set=a%20b', '?surprise=1', '?after=runtime:global:1.2.3.4/8']) {
    assert.equal((await server.get(RULES + bad, { headers: server.bearer('viewer') })).status, 400, bad);
  }
  await remove([{ cidr: '1.2.3.4' }, { cidr: '203.0.113.0/24' }, { set: 'office', cidr: '203.0.113.77' }]);
});

test('what is wrong with a body is named, and then nothing of it is done', async () => {
  const rows = [
    [{}, 400, 'BAD_REQUEST', 'cidr is missing'],
    [{ cidr: '203.0.113.1' }, 400, 'BAD_REQUEST', 'action is missing'],
    [{ cidr: '203.0.113.1', action: 'block' }, 400, 'BAD_REQUEST', 'action is'],
    [{ cidr: '203.0.113.1/24', action: 'deny' }, 400, 'CIDR_INVALID', 'the network is 203.0.113.0/24'],
    [{ cidr: 'fe80::1%eth0', action: 'deny' }, 400, 'CIDR_INVALID', 'zones'],
    [{ cidr: 7, action: 'deny' }, 400, 'BAD_REQUEST', 'cidr must be a string'],
    [{ cidr: '203.0.113.1', action: 'deny', ttl: 0 }, 400, 'TTL_INVALID', 'ttl'],
    [{ cidr: '203.0.113.1', action: 'deny', ttl: 'soon' }, 400, 'TTL_INVALID', 'ttl'],
    [{ cidr: '203.0.113.1', action: 'deny', expires_at: 1 }, 400, 'TTL_INVALID', 'to come'],
    [{ cidr: '203.0.113.1', action: 'deny', ttl: 1, expires_at: 4e9 }, 400, 'TTL_INVALID', 'not both'],
    [{ cidr: '203.0.113.1', action: 'deny', reason: 'a\nb' }, 400, 'REASON_INVALID', 'control'],
    [{ cidr: '203.0.113.1', action: 'deny', reason: 'x'.repeat(513) }, 400, 'REASON_INVALID', '512'],
    [{ cidr: '203.0.113.1', action: 'deny', note: 'x' }, 400, 'BAD_REQUEST', 'unknown member "note"'],
    [{ set: 'nobody', cidr: '203.0.113.1', action: 'deny' }, 404, 'IP_SET_NOT_FOUND', '"nobody"'],
    [[], 400, 'BAD_REQUEST', 'empty'],
    ['no json', 400, 'JSON_INVALID', 'line 1'],
    [[{ cidr: '203.0.113.1', action: 'deny' }, { cidr: '203.0.113.2' }], 400, 'BAD_REQUEST', 'action'],
    [Array.from({ length: 4097 }, () => ({ cidr: '203.0.113.1', action: 'deny' })), 413, 'BATCH_TOO_LARGE', '4096'],
  ];
  for (const [body, status, code, words] of rows) {
    const answer = await add(body);
    assert.equal(answer.status, status, answer.body);
    assert.equal(answer.json.error.code, code, answer.body);
    assert.ok(answer.json.error.message.includes(words), answer.body);
  }
  for (const [body, status, code] of [
    [{ cidr: '203.0.113.1' }, 404, 'IP_RULE_NOT_FOUND'],
    [{ cidr: '198.51.100.0/24' }, 404, 'IP_RULE_NOT_FOUND'], // configured
    [{ set: 'nobody', cidr: '203.0.113.1' }, 404, 'IP_RULE_NOT_FOUND'],
    [{ cidr: '203.0.113.1', action: 'deny' }, 400, 'BAD_REQUEST'],
  ]) {
    const answer = await remove(body);
    assert.equal(answer.status, status, answer.body);
    assert.equal(answer.json.error.code, code, answer.body);
  }
  assert.equal(await decide('203.0.113.1'), 'OK');
  assert.equal((await list('?source=runtime')).rules.length, 0);
});

test('thousands of rules in one body', async () => {
  const many = Array.from({ length: 4096 }, (_, i) => ({ cidr: `172.16.${i >> 8}.${i & 255}`, action: 'deny', reason: 'bulk' }));
  const answer = await add(many);
  assert.deepEqual(answer.json, { message: '4096 IP rules are in effect', set: 4096 });
  assert.equal(await decide('172.16.15.255'), 'IP_DENIED');
  assert.equal(await decide('172.16.16.0'), 'OK');
  assert.equal(await metric('portcullis_ip_rules{source="runtime"}'), 4096);
  assert.equal(await metric('portcullis_ip_rules{source="configured"}'), 6);
  assert.equal((await remove(many.map(({ cidr }) => ({ cidr })))).json.removed, 4096);
  assert.equal(await decide('172.16.15.255'), 'OK');
});

test('rules survive a restart; those of a set that is no longer configured are kept, dormant', async () => {
  const own = configured();
  await own.start();
  try {
    const call = (method, body) => once(own.address('http'), method, RULES, { body, headers: own.bearer('operator') });
    const rules = async () => (await own.get(RULES, { headers: own.bearer('viewer') })).json;
    await call('POST', [{ cidr: '203.0.113.0/24', action: 'deny', ttl: 3600 }, { set: 'office', cidr: '203.0.113.1', action: 'allow' }]);
    const before = (await rules()).rules;
    await own.kill();
    await own.start();
    assert.deepEqual((await rules()).rules, before);
    own.config.ip_sets = own.config.ip_sets.filter(({ name }) => name !== 'office');
    own.config.routes = [];
    own.writeConfig();
    assert.equal((await once(own.address('http'), 'POST', '/admin/reload', { headers: own.bearer('admin') })).status, 200);
    const left = await rules();
    assert.deepEqual(left.total, { configured: 3, runtime: 2, dormant: 1 });
    assert.equal(left.rules.find(({ set }) => set === 'office').dormant, true);
    assert.equal((await call('POST', { set: 'office', cidr: '203.0.113.2', action: 'allow' })).status, 404);
    assert.equal((await call('DELETE', { set: 'office', cidr: '203.0.113.1' })).status, 200);
  } finally {
    await own.stop();
  }
});

test('a reload brings new lists; a bad one is refused with its line and the old rules stay', async () => {
  const own = configured();
  await own.start();
  try {
    const file = path.join(own.dir, 'drop.txt');
    const reload = () => once(own.address('http'), 'POST', '/admin/reload', { headers: own.bearer('admin') });
    const code = async (client) => {
      const answer = await own.auth(own.issuer.mint(), { headers: { 'X-Forwarded-For': client, 'X-Forwarded-Uri': '/', 'X-Forwarded-Method': 'GET' } });
      return answer.status;
    };
    assert.equal(await code('198.51.100.1'), 403);
    fs.writeFileSync(file, '10.9.0.0/16\n198.51.100.1/24\n');
    const refused = await reload();
    assert.equal(refused.status, 400);
    assert.match(refused.json.error.message, /IP set global: .*drop\.txt: line 2: "198\.51\.100\.1\/24".*198\.51\.100\.0\/24/);
    assert.equal(await code('198.51.100.1'), 403);
    fs.writeFileSync(file, '10.9.0.0/16\n');
    assert.equal((await reload()).status, 200);
    assert.equal(await code('198.51.100.1'), 200);
    fs.rmSync(file);
    assert.match((await reload()).json.error.message, /cannot open .*drop\.txt/);
    own.config.ip_sets[1] = { name: 'global', allow: ['192.0.2.0/24'], deny: ['192.0.2.0/24'] };
    own.writeConfig();
    assert.match((await reload()).json.error.message, /IP set global: 192\.0\.2\.0\/24 is both allowed and denied/);
  } finally {
    await own.stop();
  }
});

test('the client is found behind trusted proxies, from the right, in any number of lines', async () => {
  assert.equal(await decide('198.51.100.1, 203.0.113.1'), 'OK', 'what the client itself wrote is not read');
  assert.equal(await decide('203.0.113.1, 198.51.100.1'), 'IP_DENIED');
  assert.equal(await decide('203.0.113.1, 198.51.100.1, 10.1.1.1'), 'IP_DENIED', 'another trusted hop');
  assert.equal(await decide('for=198.51.100.1;proto=https', { listener: 'rfc7239' }), 'IP_DENIED');
  assert.equal(await decide('for="[2001:db8:bad::1]:80"', { listener: 'rfc7239' }), 'IP_DENIED');
  assert.equal(await decide('198.51.100.1', { listener: 'unix' }), 'IP_DENIED', 'a trusted Unix socket');
  assert.equal(await decide('203.0.113.1', { listener: 'unix' }), 'OK');
  // A proxy that adds a line of its own, behind forty of the client's.
  const http = await server.http('http');
  const lines = 'X-Forwarded-For: 203.0.113.1\r\n'.repeat(40);
  http.send(`GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nX-Forwarded-Uri: /\r\nX-Forwarded-Method: GET\r\n${lines}X-Forwarded-For: 198.51.100.1\r\n\r\n`);
  assert.equal((await http.response()).status, 403);
  http.close();
});

test('a client that cannot be known is refused, not let through', async () => {
  assert.equal(await decide('unknown'), 'CLIENT_ADDRESS_INVALID');
  assert.equal(await decide('203.0.113.1, fe80::1%eth0'), 'CLIENT_ADDRESS_INVALID');
  assert.equal(await decide('for=_hidden', { listener: 'rfc7239' }), 'CLIENT_ADDRESS_INVALID');
  assert.equal(await decide(null, { listener: 'unix' }), 'IP_DENIED', 'no address at all, and global has rules');
});

// ---- PROXY protocol

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const v2 = (command, family, body) => Buffer.concat([SIGNATURE, Buffer.from([0x20 | command, family, body.length >> 8, body.length & 255]), body]);
const v2tcp4 = (address) => v2(1, 0x11, Buffer.from([...address.split('.').map(Number), 127, 0, 0, 1, 0x12, 0x34, 0, 80]));

async function decideProxied(header, { listener = 'proxied', headers = {}, role = 'gateway', pieces } = {}) {
  const http = await Http.open(server.address(listener));
  try {
    const credential = role ? { Authorization: `Bearer ${server.tokens[role]}` } : {};
    const bytes = Buffer.from(header);
    for (let i = 0; i < bytes.length; i += pieces ?? bytes.length) http.send(bytes.subarray(i, i + (pieces ?? bytes.length)));
    const answer = await http.request('POST', '/v1/check', { body: { token, request: { path: '/', method: 'GET' } }, headers: { ...credential, ...headers } });
    return answer.status === 200 ? answer.json.code : answer.json.error.code;
  } finally {
    http.close();
  }
}

test('a PROXY header says who the client is', async () => {
  const taken = await metric('portcullis_proxy_headers_total{result="taken"}');
  // /v1/auth takes the connection's client; the gateway behind the load balancer has a credential.
  const auth = async (header, listener, extra = '') => {
    const http = await Http.open(server.address(listener));
    http.send(Buffer.concat([Buffer.from(header), Buffer.from(
      `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nX-Forwarded-Uri: /\r\nX-Forwarded-Method: GET\r\n${extra}\r\n`)]));
    const answer = await http.response();
    http.close();
    return answer.status;
  };
  // Trusted: the gateway itself (10.0.0.0/8), whose forwarded header names the client.
  assert.equal(await auth('PROXY TCP4 10.1.2.3 127.0.0.1 1 2\r\n', 'both', 'X-Forwarded-For: 198.51.100.1\r\n'), 403);
  assert.equal(await auth('PROXY TCP4 10.1.2.3 127.0.0.1 1 2\r\n', 'both', 'X-Forwarded-For: 203.0.113.1\r\n'), 200);
  assert.equal(await auth(v2tcp4('10.1.2.3'), 'both', 'X-Forwarded-For: 198.51.100.1\r\n'), 403);
  assert.equal(await auth('PROXY TCP4 10.1.2.3 127.0.0.1 1 2\r\n', 'proxied'), 200);
  // Not trusted, though the load balancer is: decisions are not for everybody behind it.
  assert.equal(await auth('PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\n', 'proxied'), 401);
  assert.equal(await auth('PROXY UNKNOWN\r\n', 'proxied'), 401, 'nobody vouches for who is behind it');
  assert.equal(await auth(v2(0, 0, Buffer.alloc(0)), 'proxied'), 200, 'LOCAL: the load balancer itself');
  assert.ok(await metric('portcullis_proxy_headers_total{result="taken"}') >= taken + 7);
});

test('a PROXY header may come byte by byte, with pipelined requests behind it', async () => {
  for (const header of ['PROXY TCP6 ::ffff:10.1.2.3 ::1 1 2\r\n', v2tcp4('10.1.2.3')]) {
    const wire = await Wire.open(server.address('proxied'));
    const bytes = Buffer.concat([Buffer.from(header), Buffer.from('GET /liveness HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2))]);
    for (const byte of bytes) wire.send(Buffer.from([byte]));
    const http = new Http(wire.socket);
    http.buffer = wire.buffer;
    for (let i = 0; i < 2; i++) assert.equal((await http.response()).status, 200);
    http.close();
  }
  assert.equal(await decideProxied('PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\n', { pieces: 7 }), 'OK');
});

test('RESP behind a PROXY header: loopback is not who it says', async () => {
  const local = await Resp.open(server.address('resp'));
  local.send('PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n');
  assert.equal(await local.command('EXISTS', 'bl:x'), 0, 'the same machine reads without AUTH');
  local.close();
  for (const header of ['PROXY TCP4 203.0.113.1 127.0.0.1 1 2\r\n', 'PROXY UNKNOWN\r\n']) {
    const far = await Resp.open(server.address('resp'));
    far.send(header);
    const answer = await far.command('EXISTS', 'bl:x');
    assert.ok(answer instanceof RespError && answer.message.startsWith('NOAUTH'), String(answer));
    assert.equal(await far.command('AUTH', server.tokens.gateway), 'OK');
    assert.equal(await far.command('EXISTS', 'bl:x'), 0);
    far.close();
  }
});

test('without a header, with a bad one, too late or from a stranger the connection is closed', async () => {
  const count = (result) => metric(`portcullis_proxy_headers_total{result="${result}"}`);
  const malformed = await count('malformed');
  for (const [listener, bytes] of [
    ['proxied', 'GET /liveness HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['proxied', 'PROXY TCP4 203.0.113.1 127.0.0.1 1\r\nGET /liveness HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['proxied', Buffer.concat([v2(1, 0x12, Buffer.alloc(12)), Buffer.from('GET /liveness HTTP/1.1\r\nHost: a\r\n\r\n')])],
    ['resp', Resp.encode(['PING'])],
  ]) {
    const wire = await Wire.open(server.address(listener));
    wire.send(bytes);
    assert.ok(await wire.closed(), 'nothing is answered');
  }
  await until('four refusals to be counted', async () => await count('malformed') >= malformed + 4);

  const untrusted = await count('untrusted');
  const stranger = await Wire.open(server.address('strangers'));
  stranger.send('PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET /liveness HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.ok(await stranger.closed());
  await until('the stranger to be counted', async () => await count('untrusted') > untrusted);

  const late = await count('timeout');
  const slow = await Promise.all(['proxied', 'resp'].map((listener) => Wire.open(server.address(listener))));
  for (const wire of slow) wire.send('PROXY TCP4 203.0');
  for (const wire of slow) assert.ok(await wire.closed());
  await until('both to be counted', async () => await count('timeout') >= late + 2);
  assert.match(server.log, /"proxy_header_refused"/);
});

test('a listener with proxy_protocol needs trusted peers', async () => {
  const own = new Server();
  own.config.listeners = [{ name: 'http', address: tcp, protocols: ['http1'], roles: all, proxy_protocol: true }];
  own.writeConfig();
  const { code, log } = await own.startRefused();
  assert.notEqual(code, 0);
  assert.match(log, /listeners\[0\]\.trusted_peers/);
});

test('portcullis ip-rules lists, adds and removes', async () => {
  const cli = async (args, expected = 0) => {
    const done = await server.cli(['ip-rules', ...args]);
    assert.equal(done.code, expected, done.stdout + done.stderr);
    return done;
  };
  assert.equal((await cli(['add', 'deny', '203.0.113.0/24', '--ttl', '1h', '--reason', 'by hand'])).stdout, '1 IP rule is in effect\n');
  assert.equal((await cli(['add', 'allow', '2001:db8:7::/48', '--set', 'office', '--expires-at', '4102444800', '--json'])).stdout.trim().startsWith('{"message"'), true);
  const text = (await cli(['list'])).stdout;
  assert.match(text, /^global +deny +203\.0\.113\.0\/24 +runtime +20\S+Z +by hand$/m);
  assert.match(text, /^office +allow +2001:db8:7::\/48 +runtime +2100-01-01T00:00:00Z/m);
  assert.match(text, /^global +deny +198\.51\.100\.0\/24 +configured +never +SBL1$/m);
  assert.equal((await cli(['list', '--set', 'office', '--source', 'runtime'])).stdout.trim().split('\n').length, 1);
  assert.equal(JSON.parse((await cli(['list', '--json'])).stdout).rules.length, 8);
  assert.match((await cli(['add', 'deny', '203.0.113.1/24'], 3)).stderr, /the network is 203\.0\.113\.0\/24/);
  assert.match((await cli(['remove', '203.0.113.77'], 3)).stderr, /no runtime rule for 203\.0\.113\.77\/32/);
  assert.equal((await cli(['remove', '203.0.113.0/24'])).stdout, '1 IP rule was removed\n');
  await cli(['remove', '2001:db8:7::/48', '--set', 'office']);
});
