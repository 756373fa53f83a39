// SPDX-License-Identifier: Apache-2.0
// What an operator sees and relies on: metrics, logs, health, the command, and what the process
// does and does not do.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { BIN, cli, run, scratch, Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server?.stop());

const metrics = async () => (await server.get('/metrics', { headers: server.bearer('admin') })).body;
const value = (text, name) => Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)`, 'm').exec(text)?.[1] ?? NaN);

test('/metrics passes promtool and counts', async () => {
  const before = await metrics();
  const claims = server.issuer.claims();
  const token = server.issuer.sign(claims);
  for (let i = 0; i < 10; i++) await server.auth(token);
  await server.revoke({ kind: 'token', id: claims.jti, ttl: 60 });
  await server.auth(token);
  const text = await until('the counters to move', async () => {
    const now = await metrics();
    return value(now, 'portcullis_mutations_total{kind="token",op="revoke"}') > value(before, 'portcullis_mutations_total{kind="token",op="revoke"}') ? now : null;
  });
  const lint = await run('promtool', ['check', 'metrics'], { input: text });
  assert.equal(lint.code, 0, lint.stdout + lint.stderr);
  assert.equal((lint.stdout + lint.stderr).trim(), '');
  assert.ok(value(text, 'portcullis_revocation_checks_total{result="revoked"}') >= 1);
  assert.equal(value(text, 'portcullis_ready'), 1);
  assert.match((await server.get('/metrics', { headers: server.bearer('admin') })).headers['content-type'], /^text\/plain; version=0\.0\.4/);
});

test('/metrics shows what the machinery holds and does', async () => {
  await server.auth(server.issuer.mint());
  await server.revoke({ kind: 'token', id: 'metrics', ttl: 60 });
  const resp = await server.resp();
  await resp.command('PING');
  resp.close();
  // A core shows what its parts counted once a second.
  const positive = (text, name) => new RegExp(`^portcullis_${name}(\\{[^}]*\\})? (?!0$)`, 'm').test(text);
  for (const name of [
    'decisions_total', 'mutations_total', 'revocation_entries', 'revocation_slots', 'revocation_bytes', // tables
    'token_cache_entries', 'token_cache_bytes', 'event_history_bytes', 'event_history_events', 'events_total', 'flags', 'flags_bytes',
    'request_duration_seconds_count\\{protocol="http"\\}', 'request_duration_seconds_count\\{protocol="resp"\\}',
    'journal_sync_duration_seconds_count', 'journal_batch_records_sum', 'journal_size_bytes',
    'loop_turns_total', 'loop_completions_total', 'loop_receives_total', 'loop_sends_total', 'loop_buffer_bytes', 'loop_messages_total',
  ]) await until(`portcullis_${name}`, async () => positive(await metrics(), name));
  const text = await metrics();
  for (const name of ['loop_receives_without_buffer_total', 'loop_short_sends_total', 'loop_output_full_total', 'token_cache_evicted_total']) {
    assert.match(text, new RegExp(`^portcullis_${name}`, 'm'));
  }
  assert.ok(value(text, 'process_resident_memory_bytes') > 1 << 20);
});

test('logs are JSON lines with request ids and trace contexts, and never hold a token', async () => {
  const token = server.issuer.mint();
  const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await server.auth(token, { headers: { 'X-Request-ID': 'find-me-in-the-log', traceparent: trace } });
  await server.auth(`${token}x`);
  await server.revoke({ token }).catch(() => {});
  await server.get(`/v1/auth?access_token=${token}`);
  await server.revoke({ kind: 'nonsense' });
  const resp = await server.resp();
  await resp.command('SET', `bl:${token}`, '1', 'EX', '5');
  await resp.command('AUTH', 'a-wrong-password-of-somebody');
  resp.close();
  server.signal('SIGHUP');
  await until('the reload in the log', () => /reload/.test(server.log));
  for (const line of server.log.trim().split('\n')) {
    const record = JSON.parse(line);
    for (const key of ['time', 'level', 'event']) assert.equal(typeof record[key], 'string', line);
  }
  const signature = token.split('.')[2];
  for (const secret of [token, signature, ...Object.values(server.tokens), ...Object.values(server.tokens).map((t) => t.slice(-64)), 'a-wrong-password-of-somebody']) {
    assert.ok(!server.log.includes(secret), `the log holds ${secret.slice(0, 12)}…`);
  }
});

test('bytes from strangers cannot forge a log line', async () => {
  await server.get('/x%22%7D%0a%7B%22level%22', { headers: { 'X-Request-ID': '"},{"level":"error' } });
  for (const line of server.log.trim().split('\n')) JSON.parse(line);
});

test('health says what is wrong, readiness and liveness whether', async () => {
  const health = await server.get('/health');
  assert.equal(health.status, 200);
  assert.equal(typeof health.json, 'object');
  assert.equal((await server.get('/readiness')).status, 200);
  assert.equal((await server.get('/liveness')).status, 200);
});

const maps = (pid) => fs.readFileSync(`/proc/${pid}/maps`, 'utf8');
const cryptos = (text) => [...new Set([...text.matchAll(/\S*lib(?:crypto|ssl)[^/\s]*$/gm)].map((m) => m[0]))];

test('no process maps both BoringSSL and OpenSSL', async () => {
  await server.auth(server.issuer.mint());
  const edge = cryptos(maps(server.pid));
  assert.ok(!edge.some((file) => /lib(crypto|ssl)\.so\.[13]/.test(file)), `the edge maps ${edge}`);
  for (const program of fs.readdirSync(BIN).filter((name) => /^portcullis/.test(name))) {
    const { stdout } = await run('ldd', [path.join(BIN, program)]);
    const boring = /\/android\/lib(crypto|ssl)\.so/.test(stdout);
    const open = /lib(crypto|ssl)\.so\.[13]/.test(stdout);
    assert.ok(!(boring && open), `${program} links both`);
    if (program === 'portcullis') assert.ok(!boring, 'the command uses OpenSSL');
  }
});

// A core that answers decisions about tokens in its cache makes no system call but the ring's.
// Only threads that are busy with these requests are looked at; the others may log or sync.
test('the path of a cached decision makes no system call beyond io_uring_enter', async (t) => {
  const own = await Server.start({ config: { cores: 1 } });
  try {
    const token = own.issuer.mint();
    const request = `GET /v1/auth HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    const http = await own.http();
    const work = async () => {
      for (let i = 0; i < 500; i++) assert.equal((await http.send(request).response()).status, 200);
      http.send(request.repeat(64));
      for (let i = 0; i < 64; i++) assert.equal((await http.response()).status, 200);
    };
    // The token is known after this, and the pool holds buffers of the sizes that bursts need.
    for (let i = 0; i < 20; i++) await work();
    const tasks = fs.readdirSync(`/proc/${own.pid}/task`);
    const core = tasks.find((task) => /core|loop|edge-0|pc-0/.test(fs.readFileSync(`/proc/${own.pid}/task/${task}/comm`, 'utf8')));
    assert.ok(core, 'a thread whose name says that it is a core');
    const out = path.join(own.dir, 'strace.txt');
    const strace = spawn('strace', ['-q', '-o', out, '-p', core], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    strace.stderr.on('data', (bytes) => { said += bytes; });
    const ended = new Promise((resolve) => { strace.on('close', resolve); });
    const attached = () => /TracerPid:\t[1-9]/.test(fs.readFileSync(`/proc/${own.pid}/task/${core}/status`, 'utf8'));
    let denied = false;
    ended.then(() => { denied = true; });
    await until('strace to attach', () => attached() || denied);
    if (denied && /not permitted|denied/.test(said)) {
      t.skip(`ptrace is not allowed here: ${said.trim()}`);
      return;
    }
    await work();
    strace.kill('SIGINT');
    await ended;
    const calls = fs.readFileSync(out, 'utf8').split('\n').map((line) => /^(\w+)\(/.exec(line)?.[1]).filter(Boolean);
    assert.ok(calls.length > 100, `${calls.length} calls seen`);
    assert.deepEqual([...new Set(calls)], ['io_uring_enter']);
    http.close();
  } finally {
    await own.stop();
  }
});

test('portcullis doctor says what the machine allows', async () => {
  const doctor = await cli(['doctor'], { env: { PORTCULLIS_DATA_DIR: scratch('doctor') } });
  assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
  for (const topic of [/kernel/i, /io_uring/i, /clock/i, /sync|disk/i, /open files|nofile|limit/i]) assert.match(doctor.stdout, topic);
});

test('portcullis config check: unknown keys, wrong types and ranges, with line or path', async () => {
  const dir = scratch('config');
  const check = async (text) => {
    fs.writeFileSync(path.join(dir, 'portcullis.yaml'), text);
    return cli(['config', 'check', '--config', path.join(dir, 'portcullis.yaml')]);
  };
  const good = await check('cores: 2\nhttp:\n  fields: 50\n');
  assert.equal(good.code, 0, good.stdout + good.stderr);
  for (const [text, pattern] of [
    ['cores: 2\nsurprise: 1\n', /surprise|line 2|:2/], ['cores: many\n', /cores|line 1|:1/], ['http:\n  fields: 0\n', /http\.fields/],
    ['http:\n  header_timeout: soon\n', /header_timeout/], ['cores: [\n', /line|:\d/], ['durability: sometimes\n', /durability|:1/],
  ]) {
    const bad = await check(text);
    assert.notEqual(bad.code, 0, text);
    assert.match(bad.stdout + bad.stderr, pattern, text);
  }
});

test('portcullis config show: values from file and environment, secrets redacted', async () => {
  const dir = scratch('config');
  const file = path.join(dir, 'portcullis.yaml');
  fs.writeFileSync(file, 'cores: 2\n');
  const shown = await cli(['config', 'show', '--config', file], { env: { PORTCULLIS_HTTP_FIELDS: '33' } });
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /cores: 2/);
  assert.match(shown.stdout, /fields: 33/);
});

test('portcullis admin-token: create, list, revoke; the secret is shown once and stored hashed', async () => {
  const env = { PORTCULLIS_DATA_DIR: scratch('admin'), PORTCULLIS_ADMIN_TOKENS_FILE: path.join(scratch('admin'), 'tokens.json') };
  const made = await cli(['admin-token', 'create', '--name', 'ops', '--role', 'operator', '--ttl', '1h'], { env });
  assert.equal(made.code, 0, made.stdout + made.stderr);
  const secret = /pcadm_[0-9a-f]{16}_[0-9a-f]{64}/.exec(made.stdout)?.[0];
  assert.ok(secret, made.stdout);
  const list = await cli(['admin-token', 'list'], { env });
  assert.match(list.stdout, /ops/);
  assert.ok(!list.stdout.includes(secret.slice(-64)));
  assert.ok(!fs.readFileSync(env.PORTCULLIS_ADMIN_TOKENS_FILE, 'utf8').includes(secret.slice(-64)));
  assert.equal(fs.statSync(env.PORTCULLIS_ADMIN_TOKENS_FILE).mode & 0o077, 0);
  assert.equal((await cli(['admin-token', 'revoke', 'ops'], { env })).code, 0);
});

test('every program has --version and --help; unknown commands are refused', async () => {
  for (const program of ['portcullis', 'portcullis-edge']) {
    const version = await run(path.join(BIN, program), ['--version']);
    assert.equal(version.code, 0);
    assert.match(version.stdout, /\d+\.\d+\.\d+/);
    assert.equal((await run(path.join(BIN, program), ['--help'])).code, 0);
    assert.notEqual((await run(path.join(BIN, program), ['--no-such-option'])).code, 0);
  }
  assert.match((await run(path.join(BIN, 'portcullis-edge'), ['--version'])).stdout, /BoringSSL|android/i);
});

test('portcullis status and check speak to the server', async () => {
  const status = await server.cli(['status']);
  assert.equal(status.code, 0, status.stdout + status.stderr);
  const good = await server.cli(['check', server.issuer.mint()]);
  assert.equal(good.code, 0, good.stdout + good.stderr);
  assert.notEqual((await server.cli(['check', 'x.y.z'])).code, 0);
});

test('portcullis journal: ls, dump and verify read a data directory offline', async () => {
  const own = await Server.start();
  const ids = Array.from({ length: 50 }, (_, i) => `journal-${i}`);
  for (const id of ids) assert.equal((await own.revoke({ kind: 'token', id, ttl: 600, reason: 'seen in the dump' })).status, 200);
  await own.kill();
  const env = { PORTCULLIS_DATA_DIR: own.dataDir };
  const ls = await cli(['journal', 'ls'], { env });
  assert.equal(ls.code, 0, ls.stderr);
  const dump = await cli(['journal', 'dump'], { env });
  assert.equal(dump.code, 0, dump.stderr);
  for (const id of ids) assert.ok(dump.stdout.includes(id), id);
  assert.match(dump.stdout, /seen in the dump/);
  assert.equal((await cli(['journal', 'verify'], { env })).code, 0);
  // A flipped bit in the middle is found.
  const segment = fs.readdirSync(own.dataDir, { recursive: true }).map((f) => path.join(own.dataDir, f))
    .find((f) => !f.endsWith('.jsonl') && fs.statSync(f).isFile() && fs.readFileSync(f).includes('journal-3'));
  const bytes = fs.readFileSync(segment);
  bytes[bytes.indexOf('journal-3')] ^= 1;
  fs.writeFileSync(segment, bytes);
  const bad = await cli(['journal', 'verify'], { env });
  assert.notEqual(bad.code, 0);
  const { code, log } = await own.startRefused();
  assert.notEqual(code, 0, 'damage that could hide a revocation stops the start');
  assert.match(log, /recover/);
  await own.start(['--recover=salvage']);
  await own.stop();
});

test('the development mode mints tokens and keeps its credential to itself', async () => {
  const dir = scratch('dev');
  const env = { ...process.env, PORTCULLIS_DATA_DIR: path.join(dir, 'data'), PORTCULLIS_HTTP_PORT: '0', PORTCULLIS_RESP_PORT: '0' };
  const serve = spawn(path.join(BIN, 'portcullis'), ['serve', '--dev'], { env, cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => serve.kill('SIGKILL'));
  let log = '';
  serve.stderr.on('data', (bytes) => { log += bytes; });
  const exited = new Promise((resolve) => { serve.on('close', resolve); });
  try {
    const listeners = await until('the listeners', () => JSON.parse(fs.readFileSync(path.join(dir, 'data', 'listeners.json'), 'utf8')).listeners);
    const { once } = await import('./lib/wire.mjs');
    const http = listeners.find((l) => l.name === 'http').address;
    await until('readiness', async () => (await once(http, 'GET', '/readiness')).status === 200);
    const minted = await cli(['token', 'mint', '--sub', 'alice', '--ttl', '15m'], { env, cwd: dir });
    assert.equal(minted.code, 0, minted.stderr);
    const headers = { Authorization: `Bearer ${minted.stdout.trim()}` };
    assert.equal((await once(http, 'GET', '/v1/auth', { headers })).status, 200);
    assert.equal(fs.statSync(path.join(dir, 'data', 'admin.token')).mode & 0o777, 0o600);
    assert.equal(fs.statSync(path.join(dir, 'data')).mode & 0o777, 0o700);
  } finally {
    serve.kill('SIGTERM');
    assert.equal(await exited, 0, log.slice(-3000));
  }
});
