// SPDX-License-Identifier: Apache-2.0
// The endpoint table the server itself publishes at GET /: every row is called without a
// credential, with too weak a one, and on a listener without its role. A new endpoint is covered
// without a change here.
import assert from 'node:assert/strict';
import os from 'node:os';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { once } from './lib/wire.mjs';

// Which roles each permission takes. decide: a trusted peer (loopback is one) or the role gateway.
const PERMISSIONS = {
  none: null,
  decide: null,
  read: ['gateway', 'viewer', 'operator', 'admin'],
  viewer: ['viewer', 'operator', 'admin'],
  gateway: ['gateway', 'operator', 'admin'],
  operator: ['operator', 'admin'],
  admin: ['admin'],
};
const LISTENERS = ['gateway', 'public', 'admin'];
const UNSAFE_TO_CALL = /shutdown|stop|drain/;

let server;
let endpoints;
before(async () => {
  server = await Server.start();
  // {"methods":"GET, POST" or "*","path","roles":[…],"permission","summary"}: one row per method.
  endpoints = (await server.get('/')).json.endpoints.flatMap((row) => (
    row.methods === '*' ? ['GET', 'POST'] : row.methods.split(', ')).map((method) => ({ ...row, method })));
});
after(() => server?.stop());

// "{kind}" and "{id}" in a path become samples.
const sample = (path) => path.replace(/\{kind\}/g, 'token').replace(/\{[^}]*\}|\*/g, 'x');

async function call(row, listener, headers = {}) {
  const http = await server.http(listener);
  const body = row.method === 'POST' || row.method === 'DELETE' || row.method === 'PUT' ? {} : undefined;
  try {
    return await http.request(row.method, sample(row.path), { headers, body });
  } finally {
    http.close();
  }
}

test('GET / lists the endpoints, every cell filled', () => {
  assert.ok(endpoints.length >= 10);
  for (const row of endpoints) {
    for (const column of ['method', 'path', 'roles', 'permission', 'summary']) assert.ok(row[column]?.length, `${row.path}: ${column}`);
    for (const role of row.roles) assert.ok(LISTENERS.includes(role), `${row.path}: ${role}`);
    assert.ok(row.permission in PERMISSIONS, `${row.path}: ${row.permission}`);
  }
  const paths = endpoints.map((row) => row.path);
  for (const path of ['/', '/v1/auth', '/v1/auth/nginx', '/v1/check', '/v1/revoke', '/health', '/readiness', '/liveness', '/metrics']) {
    assert.ok(paths.includes(path), path);
  }
});

test('every endpoint is refused without a credential, unless its permission is none', async () => {
  let checked = 0;
  for (const row of endpoints.filter((r) => !UNSAFE_TO_CALL.test(r.path))) {
    const { status } = await call(row, 'http');
    if (row.permission === 'none') assert.ok(![401, 403].includes(status), `${row.method} ${row.path}: ${status}`);
    else if (row.permission !== 'decide') assert.equal(status, 401, `${row.method} ${row.path}`);
    checked++;
  }
  assert.ok(checked >= 10);
});

test('every endpoint is refused with a made-up credential', async () => {
  for (const row of endpoints.filter((r) => !['none', 'decide'].includes(r.permission) && !UNSAFE_TO_CALL.test(r.path))) {
    const forged = `pcadm_${'0'.repeat(16)}_${'0'.repeat(64)}`;
    assert.equal((await call(row, 'http', { Authorization: `Bearer ${forged}` })).status, 401, `${row.method} ${row.path}`);
  }
});

test('every endpoint is 403 for a role its permission does not name', async () => {
  for (const row of endpoints.filter((r) => PERMISSIONS[r.permission] && !UNSAFE_TO_CALL.test(r.path))) {
    for (const role of ['gateway', 'viewer', 'operator']) {
      if (PERMISSIONS[row.permission].includes(role)) continue;
      const { status } = await call(row, 'http', server.bearer(role));
      assert.equal(status, 403, `${row.method} ${row.path} as ${role}`);
    }
  }
});

test('every endpoint is 404 on a listener without its role, with and without a credential', async () => {
  let checked = 0;
  for (const row of endpoints) {
    for (const listener of LISTENERS.filter((l) => !row.roles.includes(l))) {
      for (const headers of [{}, server.bearer('admin')]) {
        const { status } = await call(row, listener, headers);
        assert.ok([403, 404].includes(status), `${row.method} ${row.path} on ${listener}: ${status}`);
        checked++;
      }
    }
  }
  assert.ok(checked > 0);
});

test('decisions for peers that are not trusted need the role gateway', async (t) => {
  const network = Object.values(os.networkInterfaces()).flat().find((i) => i.family === 'IPv4' && !i.internal);
  if (!network) {
    t.skip('this machine has no address off loopback');
    return;
  }
  const own = new Server();
  own.config.listeners = [{ name: 'http', address: `${network.address}:0`, protocols: ['http1'], roles: ['gateway'] }];
  own.writeConfig();
  await own.start();
  try {
    // A refusal may close the connection, as the body behind it is not wanted: then it says so.
    for (const row of endpoints.filter((r) => r.permission === 'decide')) {
      const http = await own.http('http');
      const body = row.method === 'POST' ? { token: own.issuer.mint() } : undefined;
      const none = await http.request(row.method, sample(row.path), { body });
      assert.equal(none.status, 401, row.path);
      assert.equal(none.json.error.code, 'CREDENTIAL_MISSING', row.path);
      if (!/close/i.test(none.headers.connection ?? '')) {
        assert.equal((await http.request('GET', '/health')).status, 200, 'the connection is still in step');
      }
      http.close();
    }
    const body = { token: own.issuer.mint() };
    const allowed = await once(own.address('http'), 'POST', '/v1/check', { body, headers: own.bearer('gateway') });
    assert.equal(allowed.json.allow, true);
  } finally {
    await own.stop();
  }
});

test('expired and revoked credentials are refused after a reload', async () => {
  const own = await Server.start();
  try {
    const fs = await import('node:fs');
    const { until } = await import('./lib/wait.mjs');
    const file = own.config.admin.tokens_file;
    const set = JSON.parse(fs.readFileSync(file, 'utf8'));
    const revoked = { kind: 'token', id: 'x', ttl: 60 };
    assert.equal((await own.revoke(revoked)).status, 200);
    set.tokens.find((t) => t.role === 'operator').revoked = Math.floor(Date.now() / 1000) - 1;
    fs.writeFileSync(file, JSON.stringify(set), { mode: 0o600 });
    own.signal('SIGHUP');
    await until('the credential to be refused', async () => (await own.revoke(revoked)).status === 401);
    assert.equal((await own.revoke(revoked, { role: 'admin' })).status, 200);
  } finally {
    await own.stop();
  }
});

test('a listener off loopback without roles is refused with the key to set', async () => {
  const own = new Server();
  own.config.listeners = [{ name: 'http', address: '0.0.0.0:0', protocols: ['http1'] }];
  own.writeConfig();
  const { code, log } = await own.startRefused();
  assert.notEqual(code, 0);
  assert.match(log, /roles/);
});

test('--dev is refused off loopback', async () => {
  const own = new Server();
  own.config.listeners = [{ name: 'http', address: '0.0.0.0:0', protocols: ['http1'], roles: ['gateway'] }];
  own.writeConfig();
  const { code } = await own.startRefused(['--dev']);
  assert.notEqual(code, 0);
});
