// SPDX-License-Identifier: Apache-2.0
// The portcullis command by itself: command line, supervision, imports, tokens, files. The edge is
// played by lib/fake_edge.mjs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { BIN, cli, run, scratch } from './lib/server.mjs';
import { until, within } from './lib/wait.mjs';
import { once } from './lib/wire.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EDGE = fileURLToPath(new URL('./lib/fake_edge.mjs', import.meta.url));

// The environment of these tests: nothing of the caller's configuration.
function environment(dir, more = {}) {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PORTCULLIS_')));
  return {
    ...clean, PORTCULLIS_DATA_DIR: dir, PORTCULLIS_EDGE: EDGE, PORTCULLIS_HTTP_PORT: '0', PORTCULLIS_RESP_PORT: '0', ...more,
  };
}

const command = (dir, args, options = {}) => cli(args, { cwd: path.dirname(dir), ...options, env: environment(dir, options.env) });

// What these tests started and is still alive.
const alive = new Set();
process.on('exit', () => { for (const child of alive) child.kill('SIGKILL'); });

function start(args, options) {
  const child = spawn(path.join(BIN, 'portcullis'), ['serve', ...args], options);
  alive.add(child);
  child.on('close', () => alive.delete(child));
  return child;
}

class Serve {
  constructor({ wish = {}, args = [], env = {} } = {}) {
    this.dir = path.join(scratch('serve'), 'data');
    this.env = env;
    fs.mkdirSync(this.dir, { mode: 0o700 });
    this.wish(wish);
    fs.writeFileSync(path.join(this.dir, 'admin.token'), 'x'.repeat(40), { mode: 0o600 });
    this.start(args);
  }

  wish(wish) {
    fs.writeFileSync(path.join(this.dir, 'fake.json'), JSON.stringify(wish));
  }

  start(args = []) {
    this.log = '';
    this.child = start(args, {
      env: environment(this.dir, { SECRET_OF_THE_CALLER: 'x', FLAG_OF_THE_CALLER: '1', ...this.env }), cwd: path.dirname(this.dir), stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { child } = this;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { this.log += bytes; });
    this.exited = new Promise((resolve) => { child.on('close', (code, signal) => resolve(code ?? signal)); });
  }

  events(kind) {
    const file = path.join(this.dir, 'events');
    if (!fs.existsSync(file)) return [];
    const all = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
    return kind ? all.filter((one) => one.event === kind) : all;
  }

  // Waits for the n-th edge; returns its pid.
  async ready(n = 1) {
    await until(`edge ${n}`, () => this.events('ready').length >= n, 60_000);
    return this.events('ready')[n - 1].pid;
  }

  get address() {
    return JSON.parse(fs.readFileSync(path.join(this.dir, 'listeners.json'), 'utf8')).listeners[0].address;
  }

  cli(args, options) {
    return command(this.dir, args, options);
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return within('serve to end', this.exited, 60_000);
  }
}

const withServe = (options, body) => async () => {
  const serve = new Serve(options);
  try {
    await body(serve);
  } finally {
    serve.child.kill('SIGKILL');
    await serve.exited;
  }
};

// ---- serve ----

test('serve hands over sockets, its configuration and little else', withServe({ args: ['--recover=strict'] }, async (serve) => {
  await serve.ready();
  const [start] = serve.events('start');
  assert.ok(start.forMe, 'LISTEN_PID is the edge');
  assert.equal(start.env.LISTEN_FDS, '2');
  assert.equal(start.env.LISTEN_FDNAMES, 'http:resp');
  assert.equal(start.env.PORTCULLIS_DATA_DIR, serve.dir);
  assert.equal(start.env.SECRET_OF_THE_CALLER, undefined);
  assert.equal(start.env.FLAG_OF_THE_CALLER, '1');
  assert.deepEqual(start.argv, ['--recover', 'strict']);
  assert.equal((await once(serve.address, 'GET', '/readiness')).status, 200);
  assert.equal(await serve.stop(), 0, serve.log);
  assert.equal(serve.events('term').length, 1, 'the edge hears of it once');
}));

for (const signal of ['SIGKILL', 'SIGTERM']) {
  test(`an edge that ends by ${signal} is replaced and connections wait for the next`, withServe({}, async (serve) => {
    const first = await serve.ready();
    const { address } = serve;
    process.kill(first, signal);
    await until('the end of the first', () => /edge_ended/.test(serve.log));
    assert.equal((await once(address, 'GET', '/readiness')).status, 200);
    const second = await serve.ready(2);
    assert.notEqual(second, first);
    assert.equal(serve.address, address, 'the same sockets');
    for (const line of serve.log.trim().split('\n')) assert.ok(JSON.parse(line).event, line);
    assert.equal(await serve.stop(), 0);
  }));
}

test('an edge that refuses to start ends serve with its status', withServe({ wish: { exit: 3 } }, async (serve) => {
  assert.equal(await within('serve to end', serve.exited, 60_000), 3);
  assert.equal(serve.events('start').length, 1);
}));

test('an edge that refuses to start later is tried again, and the sockets stay', withServe({}, async (serve) => {
  const first = await serve.ready();
  serve.wish({ exit: 3 });
  process.kill(first, 'SIGTERM');
  await until('two more tries', () => serve.events('start').length >= 3);
  serve.wish({});
  await serve.ready(2);
  assert.equal(await serve.stop(), 0);
}));

test('restart replaces the edge and waits for the new one', withServe({}, async (serve) => {
  const first = await serve.ready();
  const done = await serve.cli(['restart']);
  assert.equal(done.code, 0, done.stderr);
  assert.deepEqual(serve.events('term').map((one) => one.pid), [first]);
  assert.equal(serve.events('ready').length, 2);
  assert.equal(await serve.stop(), 0);
  const nobody = await serve.cli(['restart']);
  assert.equal(nobody.code, 1);
  assert.match(nobody.stderr, /no portcullis serve runs/);
}));

test('a second serve on the data directory is refused by name', withServe({}, async (serve) => {
  await serve.ready();
  const second = await serve.cli(['serve']);
  assert.equal(second.code, 1);
  assert.match(second.stderr, new RegExp(`served already, by process ${serve.child.pid}`));
  assert.equal(await serve.stop(), 0);
}));

test('HUP is passed on; a second TERM too', withServe({ wish: { linger: true } }, async (serve) => {
  await serve.ready();
  serve.child.kill('SIGHUP');
  await until('HUP', () => serve.events('hup').length === 1);
  serve.child.kill('SIGTERM');
  await until('TERM', () => serve.events('term').length === 1);
  assert.equal(await serve.stop('SIGINT'), 5, 'the status of the edge');
  assert.equal(serve.events('term').length, 2);
}));

test('TERM while the edge is being replaced lets it finish', withServe({ wish: { linger: true } }, async (serve) => {
  await serve.ready();
  serve.child.kill('SIGUSR2');
  await until('TERM', () => serve.events('term').length === 1);
  serve.child.kill('SIGTERM');
  const pending = () => BigInt(`0x${/^ShdPnd:\s*([0-9a-f]+)/m.exec(fs.readFileSync(`/proc/${serve.child.pid}/status`, 'utf8'))[1]}`);
  await until('serve to take it', () => (pending() & (1n << 14n)) === 0n);
  serve.child.kill('SIGHUP');
  await until('HUP', () => serve.events('hup').length === 1);
  assert.equal(serve.events('term').length, 1);
  assert.equal(await serve.stop('SIGINT'), 5, 'the second means at once');
}));

test('the credential of the data directory stays on this machine', withServe({}, async (serve) => {
  await serve.ready();
  const here = await serve.cli(['revoke', 'token', 'x']);
  assert.equal(here.code, 0, here.stderr);
  const elsewhere = `http://0.0.0.0:${serve.address.split(':').pop()}`;
  const refused = await serve.cli(['revoke', 'token', 'y', '--url', elsewhere]);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /No credential was sent/);
  assert.equal(await serve.stop(), 0);
}));

test('a data directory that others may read is made private', async () => {
  const dir = path.join(scratch('open'), 'data');
  fs.mkdirSync(dir);
  fs.chmodSync(dir, 0o755);
  fs.writeFileSync(path.join(dir, 'fake.json'), '{"exit":0}');
  const serve = start([], { env: environment(dir), stdio: 'ignore' });
  await until('the mode', () => (fs.statSync(dir).mode & 0o777) === 0o700);
  serve.kill('SIGKILL');
});

test('serve refuses bad configuration, taken ports, missing edges: with the key or file', async () => {
  const dir = path.join(scratch('refused'), 'data');
  const other = new Serve();
  await other.ready();
  const cases = [
    [{ PORTCULLIS_LISTENERS_0_ADDRESS: '0.0.0.0:0' }, [], /listeners\[0\]\.roles/],
    [{ PORTCULLIS_LISTENERS_0_ADDRESS: '0.0.0.0:0', PORTCULLIS_LISTENERS_0_ROLES: 'gateway' }, [], /admin\.token_file/],
    [{ PORTCULLIS_LISTENERS_0_ADDRESS: '0.0.0.0:0' }, ['--dev'], /development mode/],
    [{ PORTCULLIS_COERS: '1' }, [], /PORTCULLIS_COERS/],
    [{ PORTCULLIS_HTTP_PORT: other.address.split(':')[1] }, [], /listeners\[0\]\.address.*in use/i],
    [{ PORTCULLIS_EDGE: '/nonexistent/edge' }, [], /\/nonexistent\/edge/],
    [{}, ['--recover=hope'], /--recover/],
  ];
  for (const [env, args, pattern] of cases) {
    const done = await command(dir, ['serve', ...args], { env });
    assert.notEqual(done.code, 0, String(pattern));
    assert.match(done.stderr, pattern);
  }
  assert.equal(await other.stop(), 0);
});

test('--dev makes an issuer and an administrator once, for the owner only', withServe({ args: ['--dev'] }, async (serve) => {
  await serve.ready();
  const [start] = serve.events('start');
  assert.deepEqual(start.argv, ['--overlay', path.join(serve.dir, 'dev/overlay.yaml'), '--dev']);
  for (const name of ['admin.token', 'admin_tokens.json', 'dev/issuer.jwk', 'dev/jwks.json', 'dev/overlay.yaml']) {
    assert.equal(fs.statSync(path.join(serve.dir, name)).mode & 0o777, 0o600, name);
  }
  const token = fs.readFileSync(path.join(serve.dir, 'admin.token'), 'utf8').trim();
  assert.match(token, /^pcadm_[0-9a-f]{16}_[0-9a-f]{64}$/);
  const stored = fs.readFileSync(path.join(serve.dir, 'admin_tokens.json'), 'utf8');
  assert.ok(stored.includes(crypto.createHash('sha256').update(token.slice(-64)).digest('hex')));
  const jwks = fs.readFileSync(path.join(serve.dir, 'dev/jwks.json'), 'utf8');
  assert.equal(JSON.parse(jwks).keys[0].d, undefined, 'the edge gets no private key');
  assert.equal(await serve.stop(), 0);
  serve.start(['--dev']);
  await serve.ready(2);
  assert.equal(fs.readFileSync(path.join(serve.dir, 'admin.token'), 'utf8').trim(), token);
  assert.equal(fs.readFileSync(path.join(serve.dir, 'dev/jwks.json'), 'utf8'), jwks);
  assert.equal(await serve.stop(), 0);
}));

test('sockets that systemd passes are taken by name, and their files stay', async () => {
  const dir = path.join(scratch('inherit'), 'data');
  const socket = path.join(path.dirname(dir), 'http.sock');
  fs.mkdirSync(dir, { mode: 0o700 });
  // A shell cannot set LISTEN_PID before it knows its own pid, and keeps it over exec.
  const program = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(16)
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='http')
os.execv(sys.argv[2], [sys.argv[2], 'serve'])`;
  const serve = spawn('python3', ['-c', program, socket, path.join(BIN, 'portcullis')], {
    env: environment(dir, { PORTCULLIS_LISTENERS_0_ADDRESS: `unix:${socket}`, PORTCULLIS_HTTP_PORT: undefined }), stdio: 'ignore',
  });
  alive.add(serve);
  const exited = new Promise((resolve) => { serve.on('close', resolve); });
  assert.equal((await until('an answer', () => once(`unix:${socket}`, 'GET', '/readiness'))).status, 200);
  serve.kill('SIGTERM');
  assert.equal(await within('serve to end', exited), 0);
  assert.ok(fs.existsSync(socket));
});

// ---- revoke, check, status ----

test('revoke says what the interface wants', withServe({}, async (serve) => {
  await serve.ready();
  const sent = async (args, input) => {
    const before = serve.events().length;
    const done = await serve.cli(args, { input });
    assert.equal(done.code, 0, done.stderr);
    const { event, list } = serve.events()[before];
    return [event, ...list];
  };
  assert.deepEqual(await sent(['revoke', 'token', 'j1', '--issuer', 'i', '--ttl', '15m', '--reason', 'lost']),
    ['revoke', { kind: 'token', id: 'j1', issuer: 'i', reason: 'lost', ttl: 900 }]);
  assert.deepEqual(await sent(['revoke', 'subject', 'alice', '--expires-at=1800000000']),
    ['revoke', { kind: 'subject', id: 'alice', expires_at: 1800000000 }]);
  assert.deepEqual(await sent(['revoke', 'issuer', 'https://i']), ['revoke', { kind: 'issuer', issuer: 'https://i' }]);
  assert.deepEqual(await sent(['revoke', 'all', '--reason', 'fire']), ['revoke', { kind: 'all', reason: 'fire' }]);
  assert.deepEqual(await sent(['unrevoke', 'token', '--', '-j']), ['unrevoke', { kind: 'token', id: '-j' }]);
  assert.deepEqual(await sent(['revoke', '--undo', 'token', 'j']), ['unrevoke', { kind: 'token', id: 'j' }]);
  assert.deepEqual(await sent(['revoke', '--token-file', '-'], ' a.b.c\n'), ['revoke', { token: 'a.b.c' }]);
  const got = await serve.cli(['revocation', 'get', 'token', 'a/b c', '--issuer', '*']);
  assert.equal(got.code, 0, got.stderr);
  assert.match(got.stdout, /revoked +true\nsince +2023-11-14T22:13:20Z/);
  assert.equal(serve.events('get')[0].url, '/v1/revocations/token/-?id=a%2Fb%20c&issuer=%2A');
  assert.equal(await serve.stop(), 0);
}));

test('check reads a token from argument, standard input or file', withServe({}, async (serve) => {
  await serve.ready();
  const file = path.join(serve.dir, 'token');
  fs.writeFileSync(file, 'good\n');
  for (const [args, input] of [[['good']], [[], 'good\n'], [['-'], 'good'], [['--token-file', file]]]) {
    const done = await serve.cli(['check', ...args], { input });
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /^allowed\n.*alice/s);
  }
  const bad = await serve.cli(['check', 'bad']);
  assert.equal(bad.code, 1);
  assert.match(bad.stdout, /refused: TOKEN_REVOKED/);
  assert.equal((await serve.cli(['check'], { input: '\n' })).code, 2);
  assert.equal((await serve.cli(['check', '--json', 'bad'])).code, 1);
  assert.equal(await serve.stop(), 0);
}));

test('check and explain ask about a request, and say what it depends on', withServe({}, async (serve) => {
  await serve.ready();
  const options = ['--method', 'PUT', '--host=shop.example', '--path', '/a?b', '--ip', '192.0.2.1', '--route', 'r'];
  const question = { request: { method: 'PUT', host: 'shop.example', path: '/a?b', ip: '192.0.2.1' }, route: 'r' };
  const good = await serve.cli(['check', 'good', ...options]);
  assert.equal(good.code, 0, good.stderr);
  assert.equal(good.stdout, ['allowed', '  subject   alice', '  expires   2023-11-14T22:13:20Z', '  route     r',
    '  limit     ip: 0 of 60 left, again in 1 s', '  flag      a.b = {"c":1}', ''].join('\n'));
  const why = await serve.cli(['explain', '--anonymous', ...options]);
  assert.equal(why.code, 1, why.stderr);
  assert.equal(why.stdout, `would be refused: TOKEN_REVOKED, status 401\n  refuse   ${'token'.padEnd(20)} jti j\n`);
  assert.deepEqual(serve.events('check').map((one) => one.body), [{ token: 'good', ...question }]);
  assert.deepEqual(serve.events('explain').map((one) => one.body), [question]);
  assert.equal(JSON.parse((await serve.cli(['explain', 'good', '--json'])).stdout).steps.length, 1);
  assert.equal((await serve.cli(['check', 'good', '--anonymous'])).code, 2);
  assert.equal(await serve.stop(), 0);
}));

test('status, and what is said when nobody answers or a credential is missing', withServe({ wish: { sick: true } }, async (serve) => {
  await serve.ready();
  const sick = await serve.cli(['status']);
  assert.equal(sick.code, 1);
  assert.match(sick.stdout, /status +failing\njournal\.durable +7/);
  fs.rmSync(path.join(serve.dir, 'admin.token'));
  const unknown = await serve.cli(['revoke', 'token', 'x']);
  assert.equal(unknown.code, 3);
  assert.match(unknown.stderr, /who are you\?.*UNAUTHENTICATED.*--credential/s);
  fs.writeFileSync(path.join(serve.dir, 'admin.token'), 'secret-of-mine-0123456789', { mode: 0o644 });
  const open = await serve.cli(['status']);
  assert.equal(open.code, 1);
  assert.match(open.stderr, /chmod 600/);
  assert.ok(!open.stderr.includes('secret-of-mine'));
  assert.equal(await serve.stop(), 0);
  fs.rmSync(path.join(serve.dir, 'admin.token'));
  const nobody = await serve.cli(['status', '--url', `http://${serve.address}`]);
  assert.equal(nobody.code, 3);
  assert.match(nobody.stderr, /no answer from http/);
}));

// ---- import ----

function writeImport(serve, lines) {
  const file = path.join(path.dirname(serve.dir), 'import.ndjson');
  fs.writeFileSync(file, lines.join('\n') + '\n');
  return file;
}
const line = (id) => JSON.stringify({ kind: 'token', id, ttl: 60 });
const revoked = (serve) => serve.events('revoke').flatMap((one) => one.list.map((item) => item.id));

test('import: every good line arrives once, bad ones are named', withServe({ wish: { refuse: ['n777', 'n5001'], busy: 3 } }, async (serve) => {
  await serve.ready();
  const lines = Array.from({ length: 9000 }, (_, i) => line(`n${i}`));
  lines[10] = 'not json';
  lines[11] = '';
  lines[12] = '{"kind":"nonsense","id":"x"}';
  lines[13] = '{"kind":"token"}';
  const file = writeImport(serve, lines);
  const done = await serve.cli(['revoke', '--import', file]);
  assert.equal(done.code, 1, done.stderr);
  for (const bad of [11, 13, 14, 778, 5002]) assert.match(done.stderr, new RegExp(`import\\.ndjson:${bad}: `));
  assert.match(done.stderr, /n777 is not wanted/);
  assert.match(done.stdout, /revoked 8994, bad lines 5/);
  const want = lines.map((_, i) => `n${i}`).filter((id, i) => ![10, 11, 12, 13, 777, 5001].includes(i));
  assert.deepEqual(revoked(serve).sort(), want.sort());
  assert.ok(!fs.existsSync(`${file}.progress`));
  assert.equal(await serve.stop(), 0);
}));

test('import: what was interrupted goes on where it was acknowledged', withServe({ wish: { fail_after: 6500 } }, async (serve) => {
  const first = await serve.ready();
  const lines = Array.from({ length: 20000 }, (_, i) => line(`r${i}`));
  const file = writeImport(serve, lines);
  const broken = await serve.cli(['revoke', '--import', file, '--connections', '1']);
  assert.equal(broken.code, 3, broken.stderr);
  assert.match(broken.stderr, /broken.*the same command resumes there/s);
  const progress = JSON.parse(fs.readFileSync(`${file}.progress`, 'utf8'));
  assert.equal(progress.line, 6001, 'three chunks of 2000');
  serve.wish({});
  process.kill(first, 'SIGTERM');
  await serve.ready(2);
  const done = await serve.cli(['revoke', '--import', file]);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stderr, /Resuming at line 6001/);
  assert.match(done.stdout, /revoked 14000/);
  assert.equal(new Set(revoked(serve)).size, 20000);
  assert.ok(!fs.existsSync(`${file}.progress`));
  // The progress of another file is not believed.
  fs.writeFileSync(`${file}.progress`, JSON.stringify({ ...progress, head_sha256: '0' }));
  assert.match((await serve.cli(['revoke', '--import', file])).stdout, /revoked 20000/);
  assert.equal(await serve.stop(), 0);
}));

test('import: a chunk that could not be taken apart to its end is not done', withServe({ wish: { refuse: ['n777'], busy_from: 3 } }, async (serve) => {
  await serve.ready();
  const file = writeImport(serve, Array.from({ length: 2000 }, (_, i) => line(`n${i}`)));
  const stopped = await serve.cli(['revoke', '--import', file, '--connections', '1']);
  assert.equal(stopped.code, 3, stopped.stderr);
  assert.match(stopped.stderr, /Stopped at line 1;/);
  serve.wish({ refuse: ['n777'] });
  assert.equal((await serve.cli(['restart'])).code, 0);
  const done = await serve.cli(['revoke', '--import', file]);
  assert.equal(done.code, 1);
  assert.match(done.stderr, /:778: n777 is not wanted/);
  assert.equal(new Set(revoked(serve)).size, 1999);
  assert.equal(await serve.stop(), 0);
}));

test('import: odd files', withServe({}, async (serve) => {
  await serve.ready();
  const file = writeImport(serve, []);
  assert.match((await serve.cli(['revoke', '--import', file])).stdout, /revoked 0/);
  fs.writeFileSync(file, '');
  assert.match((await serve.cli(['revoke', '--import', file])).stdout, /revoked 0/);
  fs.writeFileSync(file, line('no-newline'));
  assert.match((await serve.cli(['revoke', '--import', file])).stdout, /revoked 1/);
  fs.writeFileSync(file, `${line('a')}\r\n${JSON.stringify({ kind: 'token', id: 'x'.repeat(70000) })}\n`);
  assert.match((await serve.cli(['revoke', '--import', file])).stderr, /:2: too long/);
  assert.equal((await serve.cli(['revoke', '--import', '/nonexistent'])).code, 1);
  assert.equal((await serve.cli(['revoke', '--import', file, 'token'])).code, 2);
  assert.equal((await serve.cli(['revoke', '--import', file, '--connections', '0'])).code, 2);
  assert.equal(await serve.stop(), 0);
}));

// ---- tokens ----

const KEYS = [
  ['EdDSA', () => crypto.generateKeyPairSync('ed25519'), null, {}],
  ['ES256', () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256', { dsaEncoding: 'ieee-p1363' }],
  ['ES384', () => crypto.generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha384', { dsaEncoding: 'ieee-p1363' }],
  ['RS256', () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256', {}],
  ['PS512', () => crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha512',
    { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 }],
];

function verify(token, publicKey, digest, options) {
  const [header, claims, signature] = token.split('.');
  assert.ok(crypto.verify(digest, Buffer.from(`${header}.${claims}`), { key: publicKey, ...options }, Buffer.from(signature, 'base64url')));
  return [header, claims].map((part) => JSON.parse(Buffer.from(part, 'base64url')));
}

for (const [alg, generate, digest, options] of KEYS) {
  test(`token mint signs ${alg} with a PEM key`, async () => {
    const dir = scratch('mint');
    const { privateKey, publicKey } = generate();
    fs.writeFileSync(path.join(dir, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const done = await command(dir, ['token', 'mint', '--key', path.join(dir, 'key.pem'), '--iss', 'me', '--sub', 'bob', '--alg', alg, '--kid', 'k']);
    assert.equal(done.code, 0, done.stderr);
    const [header, claims] = verify(done.stdout.trim(), publicKey, digest, options);
    assert.deepEqual(header, { alg, typ: 'JWT', kid: 'k' });
    assert.equal(claims.iss, 'me');
    assert.equal(claims.exp - claims.iat, 900);
    const wrong = await command(dir, ['token', 'mint', '--key', path.join(dir, 'key.pem'), '--iss', 'me', '--sub', 'b', '--alg', 'HS256']);
    assert.equal(wrong.code, 1);
  });
}

test('token mint carries every claim, and its kid is the thumbprint', withServe({ args: ['--dev'] }, async (serve) => {
  await serve.ready();
  assert.equal(await serve.stop(), 0);
  const done = await serve.cli(['token', 'mint', '--sub', 'alice', '--ttl', '1h', '--scope', 'a b', '--roles', 'x,y', '--client', 'c',
    '--sid', 's', '--family', 'f', '--jti', 'j', '--aud', 'api']);
  assert.equal(done.code, 0, done.stderr);
  const [key] = JSON.parse(fs.readFileSync(path.join(serve.dir, 'dev/jwks.json'), 'utf8')).keys;
  const [header, claims] = verify(done.stdout.trim(), crypto.createPublicKey({ key, format: 'jwk' }), null, {});
  const thumbprint = crypto.createHash('sha256').update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x: key.x })).digest('base64url');
  assert.deepEqual(header, { alg: 'EdDSA', typ: 'JWT', kid: thumbprint });
  const { iat, iat_ms: iatMs, exp, ...rest } = claims;
  assert.equal(Math.floor(iatMs / 1000), iat);
  assert.equal(exp - iat, 3600);
  assert.deepEqual(rest, {
    iss: 'portcullis-dev', sub: 'alice', scope: 'a b', roles: ['x', 'y'], client_id: 'c', sid: 's', fam: 'f', jti: 'j', aud: 'api',
  });
}));

test('admin-token: life of a token', async () => {
  const dir = path.join(scratch('admin'), 'data');
  const create = (...args) => command(dir, ['admin-token', 'create', ...args]);
  const made = await create('--name', 'ops', '--role', 'admin', '--ttl', 'never');
  assert.match(made.stdout, /^pcadm_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  assert.match(made.stderr, /Role admin, expires never/);
  assert.match((await create('--name', 'ops')).stderr, /in use/);
  assert.equal((await create()).code, 2);
  assert.equal((await create('--name', 'a b')).code, 2);
  assert.equal((await create('--name', 'x', '--role', 'god')).code, 2);
  assert.match((await command(dir, ['admin-token', 'list'])).stdout, /admin +alive .*never +ops/);
  assert.equal((await command(dir, ['admin-token', 'revoke', 'ops'])).code, 0);
  assert.equal((await command(dir, ['admin-token', 'revoke', 'ops'])).code, 1);
  assert.match((await command(dir, ['admin-token', 'list'])).stdout, /revoked/);
  const both = await Promise.all(Array.from({ length: 8 }, (_, i) => create('--name', `p${i}`)));
  for (const one of both) assert.equal(one.code, 0, one.stderr);
  const { stdout } = await command(dir, ['admin-token', 'list']);
  for (let i = 0; i < 8; i++) assert.match(stdout, new RegExp(` p${i}\n`), 'commands at the same time lose nothing');
});

// ---- command line, files ----

test('the command line: help, unknown words, statuses', async () => {
  const dir = scratch('usage');
  const go = (...args) => command(dir, args);
  assert.equal((await go()).code, 2);
  assert.match((await go('--help')).stdout, /revoke/);
  for (const args of [['fly'], ['token'], ['token', 'burn'], ['status', '--fly'], ['status', 'now'], ['check', '--url'], ['revoke'],
    ['revoke', 'cat', 'x'], ['revoke', 'token'], ['revoke', 'all', 'x'], ['revoke', 'token', 'x', '--ttl', 'soon'], ['status', '--json=1'],
    ['revoke', 'token', 'x', '--ttl', '1s', '--expires-at', '5'], ['unrevoke', 'token', 'x', '--ttl', '1s'], ['token', 'mint'], ['status', '-v'],
    ['token', 'mint', '--sub', 'x', '--key', 'y']]) {
    const done = await go(...args);
    assert.equal(done.code, 2, `${args.join(' ')}: ${done.stderr}`);
    assert.match(done.stderr, /^portcullis: /);
  }
  assert.match((await go('revoke', '--help')).stdout, /usage: portcullis revoke KIND \[ID\]/);
});

test('the example configuration is the default, and every key is in the manual', async () => {
  const dir = scratch('example');
  const example = path.join(ROOT, 'tools/examples/portcullis.yaml');
  const show = async (...args) => (await cli(['config', 'show', ...args], { cwd: dir, env: environmentOfNothing() })).stdout;
  assert.equal(await show('--config', example), await show());
  const page = fs.readFileSync(path.join(ROOT, 'tools/man/portcullis.yaml.5'), 'utf8').replaceAll('\\-', '-');
  const keys = (await cli(['config', 'keys'], { cwd: dir })).stdout.matchAll(/^(\S+) \(/gm);
  let count = 0;
  for (const [, key] of keys) {
    assert.ok(page.includes(`\n.B ${key}\n`), key);
    count++;
  }
  assert.ok(count > 60);
});

function environmentOfNothing() {
  return { PORTCULLIS_CONFIG: '', PORTCULLIS_URL: '' };
}

test('every command and option is in the manual', async () => {
  const dir = scratch('manual');
  const page = fs.readFileSync(path.join(ROOT, 'tools/man/portcullis.1'), 'utf8').replaceAll('\\-', '-').replaceAll('\\fB', '').replaceAll('\\fR', '');
  const names = [...(await command(dir, ['--help'])).stdout.matchAll(/^ {2}(\S+(?: \S+)?) {2,}/gm)].map(([, name]) => name);
  assert.ok(names.length > 15);
  for (const name of names) {
    const help = (await command(dir, [...name.split(' '), '--help'])).stdout;
    assert.ok(page.includes(`\n.B ${name}`), name);
    for (const [, option] of help.matchAll(/^ {2}--(\S+)/gm)) assert.ok(page.includes(`\n--${option}`), option);
  }
});

test('the command never maps the cryptography of the edge', async () => {
  const { stdout } = await run('ldd', [path.join(BIN, 'portcullis')]);
  assert.match(stdout, /libcrypto\.so\.3/);
  assert.doesNotMatch(stdout, /android|boringssl/i);
});
