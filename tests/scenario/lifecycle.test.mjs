// SPDX-License-Identifier: Apache-2.0
// Start, stop, restart, reload: what signals do, and what a client sees meanwhile.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { Decider, missing, Revoker } from './lib/load.mjs';
import { BIN, Server } from './lib/server.mjs';
import { until, within } from './lib/wait.mjs';
import { once, target } from './lib/wire.mjs';

const withServer = (options, body) => async () => {
  const server = await Server.start(options);
  try {
    await body(server);
  } finally {
    await server.stop();
  }
};

for (const signal of ['SIGTERM', 'SIGINT']) {
  test(`${signal}: what is in flight is answered, then exit 0 with a snapshot`, withServer({}, async (server) => {
    const load = new Revoker(server);
    await until('acknowledgements', () => load.acknowledged.length > 500);
    const slow = await server.http();
    const body = JSON.stringify({ kind: 'token', id: 'in-flight', ttl: 600 });
    slow.send(`POST /v1/revoke HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${server.tokens.operator}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 10)}`);
    assert.equal((await server.get('/liveness')).status, 200);
    server.signal(signal);
    await until('new connections to be refused', async () => {
      const probe = net.connect(target(server.address('http')));
      return new Promise((resolve) => { probe.on('connect', () => { probe.destroy(); resolve(false); }).on('error', () => resolve(true)); });
    });
    slow.send(body.slice(10));
    const answer = await slow.response();
    assert.equal(answer.status, 200, answer.body);
    assert.match(answer.headers.connection ?? '', /close/i);
    assert.equal(await server.stop('SIGCONT'), 0);
    await load.stop();
    assert.ok(fs.readdirSync(server.dataDir, { recursive: true }).some((name) => /snap/.test(name)), 'a snapshot was written');
    await server.start();
    assert.deepEqual(await missing(server, [...load.acknowledged, 'in-flight']), []);
  }));
}

test('a second signal exits at once', withServer({}, async (server) => {
  const slow = await server.http();
  slow.send('POST /v1/check HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{');
  await until('the request to be under way', async () => (await server.get('/liveness')).status === 200);
  server.signal('SIGTERM');
  await until('the shutdown to begin', () => /shutdown|stopping|draining|signal/.test(server.log));
  assert.ok(!server.gone, 'waits for the request in flight');
  server.signal('SIGTERM');
  const { code, signal } = await within('the exit', server.exited, 5_000);
  assert.ok(code !== 0 || signal, 'not an orderly exit');
}));

test('idle connections do not hold up a stop', withServer({}, async (server) => {
  const idle = await Promise.all(Array.from({ length: 20 }, () => server.http()));
  for (const http of idle) assert.equal((await http.request('GET', '/health')).status, 200);
  const began = Date.now();
  assert.equal(await server.stop(), 0);
  assert.ok(Date.now() - began < 15_000);
  for (const http of idle) assert.ok(await http.closed());
}));

test('a second server on the data directory refuses to start and says why', withServer({}, async (server) => {
  const second = new Server({ dir: server.dir });
  second.config.data_dir = server.dataDir;
  second.config.listeners = [{ name: 'http', address: '127.0.0.1:0', protocols: ['http1'], roles: ['gateway'] }];
  second.configFile = path.join(server.dir, 'second.yaml');
  second.writeConfig();
  second.issuers[0].write();
  const kept = fs.readFileSync(server.listenersFile);
  second.spawn();
  const { code } = await within('the refusal', second.exited);
  fs.writeFileSync(server.listenersFile, kept);
  assert.notEqual(code, 0);
  assert.match(second.log, /lock|in use|another/i);
  assert.match(second.log, new RegExp(server.dataDir.replace(/[/.]/g, '.')));
  assert.equal((await server.get('/health')).status, 200, 'the first one is not disturbed');
}));

test('a data directory of a newer format is refused, not guessed at', async () => {
  const server = await Server.start();
  await server.revoke({ kind: 'token', id: 'x', ttl: 60 });
  await server.kill();
  const files = fs.readdirSync(server.dataDir, { recursive: true }).map((f) => path.join(server.dataDir, f))
    .filter((f) => fs.statSync(f).isFile() && /seg|journal|wal|\.log/.test(path.basename(f)) && fs.statSync(f).size > 64);
  assert.ok(files.length > 0, 'a journal segment');
  for (const file of files) {
    const handle = fs.openSync(file, 'r+');
    fs.writeSync(handle, Buffer.from([0xff, 0xff]), 0, 2, 8); // behind the magic
    fs.closeSync(handle);
  }
  const { code, log } = await server.startRefused();
  assert.notEqual(code, 0);
  assert.match(log, /version|format|damage|header/i);
});

test('SIGHUP: a new JWKS is taken, a bad one is refused and the old one stays', withServer({}, async (server) => {
  const old = server.issuer.mint();
  const added = server.issuer.addKey('EdDSA', 'added');
  server.signal('SIGHUP');
  await until('the new key', async () => (await server.auth(server.issuer.mint({}, { key: added }))).status === 200);
  for (const bad of ['', '{', '{"keys":{}}', '{"keys":[{"kty":"OKP"}]}']) {
    server.issuer.write(bad);
    const seen = server.log.length;
    server.signal('SIGHUP');
    await until('the refusal in the log', () => /"level":"(error|warn)"/.test(server.log.slice(seen)));
    assert.equal((await server.auth(old)).status, 200, bad);
  }
  server.issuer.keys.shift();
  server.issuer.write();
  server.signal('SIGHUP');
  await until('the removed key to be gone', async () => (await server.auth(old)).status === 401);
  assert.equal((await server.auth(server.issuer.mint())).status, 200);
}));

test('a JWKS that is replaced is noticed without a signal', withServer({}, async (server) => {
  const added = server.issuer.addKey('EdDSA', 'added');
  await until('the new key', async () => (await server.auth(server.issuer.mint({}, { key: added }))).status === 200);
}));

test('SIGHUP: a bad configuration is refused and the old one stays; a good one is taken', withServer({}, async (server) => {
  const token = server.issuer.mint({ aud: 'api' });
  for (const bad of ['{', 'nonsense: true', JSON.stringify({ ...server.config, cores: 'many' }), JSON.stringify({ ...server.config, http: { fields: 0 } })]) {
    server.writeConfig(bad);
    const seen = server.log.length;
    server.signal('SIGHUP');
    await until('the refusal in the log', () => /"level":"(error|warn)"/.test(server.log.slice(seen)));
    assert.equal((await server.auth(token)).status, 200);
  }
  server.config.issuers[0].audiences = ['other'];
  server.writeConfig();
  const reload = await once(server.address(), 'POST', '/admin/reload', { headers: server.bearer('admin') });
  assert.equal(reload.status, 200, reload.body);
  await until('the new audience to count, also for cached tokens', async () => (await server.auth(token)).status === 401);
  server.writeConfig('{');
  const refused = await once(server.address(), 'POST', '/admin/reload', { headers: server.bearer('admin') });
  assert.ok(refused.status >= 400 && refused.status < 500);
  assert.equal((await server.auth(server.issuer.mint({ aud: 'other' }))).status, 200);
}));

test('a reload names the changed keys that wait for a restart', withServer({}, async (server) => {
  server.config.http = { body_timeout: '7s' };
  server.config.log = { level: 'debug' };
  server.writeConfig();
  server.signal('SIGHUP');
  await until('the warning', () => /"event":"restart_needed","message":"1 changed keys [^"]*: http.body_timeout"/.test(server.log));
}));

test('an admin.token_file that is too short is refused by name', async () => {
  const server = new Server();
  const file = path.join(server.dir, 'short.token');
  fs.writeFileSync(file, 'short\n', { mode: 0o600 });
  server.config.admin.token_file = file;
  server.writeConfig();
  const { code, log } = await server.startRefused();
  assert.equal(code, 1);
  assert.match(log, /admin\.token_file: .*short\.token must hold a token of 32 to 128 bytes/);
});

test('a socket passed in may not open to other machines what was configured for this one', async () => {
  const server = new Server();
  const listening = net.createServer();
  await new Promise((resolve) => { listening.listen(0, '0.0.0.0', resolve); });
  const { spawn } = await import('node:child_process');
  const edge = spawn('bash', ['-c', 'export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http; exec "$@"', 'bash',
    path.join(BIN, 'portcullis-edge'), '--config', server.configFile],
  { stdio: ['ignore', 'ignore', 'pipe', listening._handle.fd] });
  process.on('exit', () => edge.kill('SIGKILL'));
  let log = '';
  edge.stderr.on('data', (bytes) => { log += bytes; });
  assert.equal(await within('the edge to refuse', new Promise((resolve) => { edge.on('close', resolve); }), 60_000), 1);
  assert.match(log, /listeners\[0\]\.address: says 127\.0\.0\.1:0, but the socket .* is bound to 0\.0\.0\.0:/);
  listening.close();
});

// Each setting of the trust generation: warm the cache, change it, the verdict must change.
const TRUST = [
  ['algorithms', { algorithms: ['ES256'] }, {}],
  ['audiences', { audiences: ['other'] }, {}],
  ['typ', { typ: ['at+jwt'] }, {}],
  ['require_jti', { require_jti: true }, { jti: undefined }],
  ['require_sid', { require_sid: true }, {}],
  ['max_token_lifetime', { max_token_lifetime: '1m' }, {}],
];
for (const [what, change, claims] of TRUST) {
  test(`a cached token does not outlive a change of ${what}`, withServer({ issuer: { require_jti: false } }, async (server) => {
    const token = server.issuer.mint(claims);
    for (let i = 0; i < 40; i++) assert.equal((await server.auth(token)).status, 200);
    Object.assign(server.config.issuers[0], change);
    server.writeConfig();
    const reload = await once(server.address(), 'POST', '/admin/reload', { headers: server.bearer('admin') });
    assert.equal(reload.status, 200, reload.body);
    for (let i = 0; i < 40; i++) assert.equal((await server.auth(token)).status, 401);
  }));
}

test('readiness is false until recovery is complete; liveness is not', withServer({}, async (server) => {
  const ready = await server.get('/readiness');
  assert.equal(ready.status, 200);
  assert.equal((await server.get('/liveness')).status, 200);
  assert.equal((await server.get('/health')).json.status !== undefined, true);
}));

// portcullis serve holds the sockets: the old edge stops, only then the new one starts, and
// connections wait in the backlog.
test('a restart under load refuses no connection', async () => {
  const server = new Server();
  const { spawn } = await import('node:child_process');
  const serve = spawn(path.join(BIN, 'portcullis'), ['serve', '--config', server.configFile], { stdio: ['ignore', 'pipe', 'pipe'] });
  process.on('exit', () => serve.kill('SIGKILL'));
  let log = '';
  for (const stream of [serve.stdout, serve.stderr]) stream.on('data', (bytes) => { log += bytes; });
  const exited = new Promise((resolve) => { serve.on('close', (code) => resolve(code)); });
  let gone = false;
  exited.then(() => { gone = true; });
  const edges = () => fs.readFileSync(`/proc/${serve.pid}/task/${serve.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  try {
    await until('the server', async () => {
      if (gone) throw Object.assign(new Error(`serve exited:\n${log}`), { fatal: true });
      const { listeners } = JSON.parse(fs.readFileSync(server.listenersFile, 'utf8'));
      server.listener = Object.fromEntries(listeners.map(({ name, address }) => [name, address]));
      return (await server.get('/readiness')).status === 200;
    }, 60_000);
    const decider = new Decider(server, server.issuer.mint());
    const revoker = new Revoker(server);
    for (let restart = 0; restart < 3; restart++) {
      const before = decider.total;
      await until('decisions', () => decider.total > before + 200);
      const [old] = edges();
      serve.kill('SIGUSR2');
      await until('a new edge', async () => {
        const now = edges();
        return now.length === 1 && now[0] !== old;
      }, 60_000);
      const after = decider.total;
      await until('decisions by the new edge', () => decider.total > after + 200, 60_000);
    }
    await decider.stop();
    await revoker.stop();
    assert.deepEqual(decider.errors.map(String), []);
    assert.deepEqual(Object.keys(decider.statuses), ['200'], JSON.stringify(decider.statuses));
    assert.deepEqual(await missing(server, revoker.acknowledged), []);
  } finally {
    serve.kill('SIGTERM');
    const code = await within('serve to stop', exited, 60_000);
    assert.equal(code, 0, log.slice(-3000));
  }
});

test('a crashed edge is started again by serve', async () => {
  const server = new Server();
  const { spawn } = await import('node:child_process');
  const serve = spawn(path.join(BIN, 'portcullis'), ['serve', '--config', server.configFile], { stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => serve.kill('SIGKILL'));
  let log = '';
  serve.stderr.on('data', (bytes) => { log += bytes; });
  const exited = new Promise((resolve) => { serve.on('close', (code) => resolve(code)); });
  const children = () => fs.readFileSync(`/proc/${serve.pid}/task/${serve.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  const ready = () => until('the server', async () => {
    const { listeners } = JSON.parse(fs.readFileSync(server.listenersFile, 'utf8'));
    server.listener = Object.fromEntries(listeners.map(({ name, address }) => [name, address]));
    return (await server.get('/readiness')).status === 200;
  }, 60_000);
  try {
    await ready();
    assert.equal((await server.revoke({ kind: 'token', id: 'kept', ttl: 600 })).status, 200);
    const [edge] = children();
    process.kill(edge, 'SIGKILL');
    await until('another edge', () => children().some((pid) => pid !== edge));
    await ready();
    assert.deepEqual(await missing(server, ['kept']), []);
  } finally {
    serve.kill('SIGTERM');
    assert.equal(await within('serve to stop', exited, 60_000), 0, log.slice(-3000));
  }
});
