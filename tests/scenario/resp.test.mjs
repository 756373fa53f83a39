// SPDX-License-Identifier: Apache-2.0
// RESP2: the commands, who may use them, and the clients people have.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { hostOf, portOf, run, Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';
import { once, Resp, RespError } from './lib/wire.mjs';

const PLACES = ['resp', 'resp-unix'];
let server;
before(async () => { server = await Server.start(); });
after(() => server?.stop());

let counter = 0;
const unique = () => `bl:resp-${process.pid}-${counter++}`;
const isError = (reply, pattern) => {
  assert.ok(reply instanceof RespError, `an error, not ${JSON.stringify(reply)}`);
  assert.match(reply.message, pattern);
};

test('SET, EXISTS, GET, TTL, PTTL, EXPIRE, DEL, SETEX on TCP and Unix sockets', async () => {
  for (const place of PLACES) {
    const resp = await server.resp(place);
    const key = unique();
    assert.equal(await resp.command('EXISTS', key), 0);
    assert.equal(await resp.command('GET', key), null);
    assert.equal(await resp.command('TTL', key), -2);
    assert.equal(await resp.command('PTTL', key), -2);
    assert.equal(await resp.command('SET', key, 'whatever', 'EX', '100'), 'OK');
    assert.equal(await resp.command('EXISTS', key), 1);
    assert.equal(await resp.command('EXISTS', key, key, unique()), 2);
    assert.equal(await resp.command('GET', key), '1', 'the configured constant');
    const ttl = await resp.command('TTL', key);
    assert.ok(ttl >= 99 && ttl <= 100, `${ttl}`);
    const pttl = await resp.command('PTTL', key);
    assert.ok(pttl > 98_000 && pttl <= 100_000, `${pttl}`);
    assert.equal(await resp.command('EXPIRE', key, '200'), 1);
    assert.ok(await resp.command('TTL', key) > 190);
    assert.equal(await resp.command('SETEX', key, '10', 'x'), 'OK');
    assert.ok(await resp.command('TTL', key) > 190, 'a shorter expiry keeps the longer');
    assert.equal(await resp.command('DEL', key), 1);
    assert.equal(await resp.command('EXISTS', key), 0);
    assert.equal(await resp.command('DEL', key), 0);
    assert.equal(await resp.command('EXPIRE', unique(), '10'), 0);
    resp.close();
  }
});

test('SET forms: PX, EXAT, PXAT, none; the rest is refused as Redis words it', async () => {
  const resp = await server.resp();
  const second = Math.floor(Date.now() / 1000);
  for (const [form, value, low, high] of [['PX', 50_500, 49, 51], ['EXAT', second + 70, 67, 71], ['PXAT', Date.now() + 80_000, 78, 80]]) {
    const key = unique();
    assert.equal(await resp.command('SET', key, '1', form, value), 'OK', form);
    const ttl = await resp.command('TTL', key);
    assert.ok(ttl >= low && ttl <= high, `${form}: ${ttl}`);
  }
  const forever = unique();
  assert.equal(await resp.command('SET', forever, '1'), 'OK');
  const ttl = await resp.command('TTL', forever);
  assert.ok(ttl > 23 * 3600 && ttl <= 24 * 3600 + 60, 'without expiry: the issuer\'s maximum');
  isError(await resp.command('SET', unique(), '1', 'EX', '0'), /^ERR invalid expire time in 'set' command/);
  isError(await resp.command('SET', unique(), '1', 'EX', 'x'), /^ERR value is not an integer or out of range/);
  isError(await resp.command('SET', unique(), '1', 'EX'), /^ERR syntax error/);
  isError(await resp.command('SET', unique(), '1', 'EX', '10', 'PX', '10'), /^ERR syntax error/);
  isError(await resp.command('SET', unique()), /^ERR wrong number of arguments for 'set' command/);
  isError(await resp.command('NOSUCH', 'a'), /^ERR unknown command/);
  resp.close();
});

test('keys outside every prefix are refused clearly', async () => {
  const resp = await server.resp();
  for (const command of [['SET', 'other:x', '1', 'EX', '10'], ['DEL', 'other:x']]) {
    assert.ok(await resp.command(...command) instanceof RespError);
  }
  const read = await resp.command('EXISTS', 'other:x');
  assert.ok(read instanceof RespError || read === 0);
  resp.close();
});

test('without AUTH a loopback client may only read', async () => {
  for (const place of PLACES) {
    const resp = await server.resp(place, null);
    assert.equal(await resp.command('PING'), 'PONG');
    const key = unique();
    assert.equal(await resp.command('EXISTS', key), 0);
    assert.equal(await resp.command('TTL', key), -2);
    for (const command of [['SET', key, '1', 'EX', '10'], ['SETEX', key, '10', '1'], ['DEL', key], ['EXPIRE', key, '10'], ['PC.REVOKE', 'token', 'x', 'TTL', '60']]) {
      isError(await resp.command(...command), /^NOAUTH|^NOPERM/);
    }
    assert.equal(await resp.command('EXISTS', key), 0);
    resp.close();
  }
});

test('AUTH: wrong credentials are WRONGPASS, in both forms; the connection stays usable', async () => {
  const resp = await server.resp('resp', null);
  isError(await resp.command('AUTH', 'wrong'), /^WRONGPASS/);
  isError(await resp.command('AUTH', 'default', 'wrong'), /^WRONGPASS/);
  isError(await resp.command('SET', unique(), '1', 'EX', '10'), /^NOAUTH|^NOPERM/);
  assert.equal(await resp.command('AUTH', 'default', server.tokens.operator), 'OK');
  assert.equal(await resp.command('SET', unique(), '1', 'EX', '10'), 'OK');
  isError(await resp.command('AUTH', 'wrong'), /^WRONGPASS/);
  isError(await resp.command('AUTH'), /^ERR wrong number of arguments/);
  resp.close();
});

test('AUTH holds as long as its credential does', async () => {
  const own = new Server();
  own.config.admin = { ...own.config.admin, issuer: own.issuer.name };
  own.writeConfig();
  await own.start();
  try {
    const set = ['SET', 'bl:held', '1', 'EX', '60'];
    const jwt = own.issuer.mint({ sub: 'ops', jti: 'held-by-resp', roles: ['portcullis-operator'] });
    const byJwt = await own.resp('resp', null);
    const byToken = await own.resp('resp', 'operator');
    assert.equal(await byJwt.command('AUTH', jwt), 'OK');
    for (const resp of [byJwt, byToken]) assert.equal(await resp.command(...set), 'OK');
    assert.equal((await own.revoke({ token: jwt })).status, 200);
    isError(await byJwt.command(...set), /^NOAUTH/);
    assert.equal(await byJwt.command('PING'), 'PONG');
    const file = own.config.admin.tokens_file;
    const tokens = JSON.parse(fs.readFileSync(file, 'utf8'));
    tokens.tokens.find((token) => token.role === 'operator').revoked = Math.floor(Date.now() / 1000) - 1;
    fs.writeFileSync(file, JSON.stringify(tokens));
    const reload = await once(own.address(), 'POST', '/admin/reload', { headers: own.bearer('admin') });
    assert.equal(reload.status, 200);
    isError(await byToken.command(...set), /^NOAUTH/);
    isError(await byToken.command('AUTH', own.tokens.operator), /^WRONGPASS/);
    byJwt.close();
    byToken.close();
  } finally {
    await own.stop();
  }
});

test('role gateway revokes tokens of its prefix but may not take them back', async () => {
  const resp = await server.resp('resp', 'gateway');
  const key = unique();
  assert.equal(await resp.command('SET', key, '1', 'EX', '100'), 'OK');
  isError(await resp.command('DEL', key), /^NOPERM/);
  isError(await resp.command('PC.REVOKE', 'subject', 'bob'), /^NOPERM/);
  assert.equal(await resp.command('EXISTS', key), 1);
  resp.close();
});

test('allow_unrevoke lets the gateway role delete; trust_loopback spares AUTH and is logged', async () => {
  const own = await Server.start({ config: { resp: { trust_loopback: true, prefixes: [{ prefix: 'x:', allow_unrevoke: true }] } } });
  try {
    const resp = await own.resp('resp', null);
    assert.equal(await resp.command('SET', 'x:1', '1', 'EX', '100'), 'OK');
    assert.equal(await resp.command('DEL', 'x:1'), 1);
    await until('the warning in the log', () => /trust_loopback/.test(own.log));
    resp.close();
  } finally {
    await own.stop();
  }
});

test('pipelining answers in order, also across mutations', async () => {
  for (const place of PLACES) {
    const resp = await server.resp(place);
    const keys = Array.from({ length: 200 }, unique);
    const commands = keys.flatMap((key) => [['EXISTS', key], ['SET', key, '1', 'EX', '60'], ['EXISTS', key], ['DEL', key], ['EXISTS', key]]);
    const replies = await resp.pipeline(commands);
    for (let i = 0; i < replies.length; i += 5) assert.deepEqual(replies.slice(i, i + 5), [0, 'OK', 1, 1, 0]);
    resp.close();
  }
});

test('an error of a pipelined mutation waits for the answers before it', async () => {
  for (const place of PLACES) {
    const resp = await server.resp(place);
    const set = (key) => ['SET', key, '1', 'EX', '60'];
    const replies = await resp.pipeline([
      set(unique()), set('bl:'), set(unique()), set(`bl:${'x'.repeat(600)}`), set(unique()), set('other:x'),
      set(unique()), ['PC.REVOKE', 'token', ''], set(unique()), ['EXPIRE', 'bl:', '10'], set(unique()), ['DEL', 'bl:'],
      set(unique()),
    ]);
    replies.forEach((reply, i) => {
      if (i % 2 === 0) assert.equal(reply, 'OK', `${i}`);
      else isError(reply, /^ERR/);
    });
    resp.close();
  }
});

test('inline commands, empty ones, quotes', async () => {
  const resp = await server.resp('resp', null);
  assert.equal(await resp.send('PING\r\n').reply(), 'PONG');
  assert.equal(await resp.send('\r\n\r\nPING\n').reply(), 'PONG');
  assert.equal(await resp.send(`EXISTS "${unique()}"\r\n`).reply(), 0);
  assert.equal(await resp.send('ping "hello world"\r\n').reply(), 'hello world');
  isError(await resp.send('EXISTS "x\r\n').reply(), /^ERR Protocol error: unbalanced quotes/);
  assert.ok(await resp.closed());
});

test('protocol errors answer as Redis does and close', async () => {
  for (const [bytes, pattern] of [
    ['*1\r\n+PING\r\n', /^ERR Protocol error: expected '\$', got '\+'/],
    ['*x\r\n', /^ERR Protocol error: invalid multibulk length/],
    ['*99999999\r\n', /^ERR Protocol error: (invalid|unauthenticated) multibulk length/],
    ['*1\r\n$-1\r\n', /^ERR Protocol error: invalid bulk length/],
    ['*1\r\n$999999999\r\n', /^ERR Protocol error: (invalid|unauthenticated) bulk length/],
  ]) {
    const resp = await server.resp('resp', null);
    isError(await resp.send(bytes).reply(), pattern);
    assert.ok(await resp.closed(), bytes);
  }
});

test('POST or Host: as a first word closes the connection', async () => {
  for (const bytes of ['POST / HTTP/1.1\r\nHost: a\r\n\r\n', 'Host: a\r\n']) {
    const resp = await server.resp('resp', null);
    assert.ok(await resp.send(bytes).closed());
  }
});

test('HELLO 3 is refused so that clients fall back; HELLO 2 and the rest of the greeting work', async () => {
  const resp = await server.resp('resp', null);
  isError(await resp.command('HELLO', '3'), /^(NOPROTO|ERR unknown command)/);
  assert.equal(await resp.command('PING'), 'PONG');
  assert.equal(await resp.command('SELECT', '0'), 'OK');
  isError(await resp.command('SELECT', '1'), /^ERR/);
  assert.ok(Array.isArray(await resp.command('COMMAND')));
  assert.match(await resp.command('INFO'), /redis_version:/);
  assert.ok(Array.isArray(await resp.command('HELLO', '2', 'SETNAME', 'greeted')));
  assert.equal(await resp.command('CLIENT', 'GETNAME'), 'greeted');
  isError(await resp.command('HELLO', '2', 'SETNAME', 'a b'), /^ERR Client names/);
  assert.equal(await resp.command('CLIENT', 'SETNAME', 'test'), 'OK');
  assert.equal(await resp.command('QUIT'), 'OK');
  assert.ok(await resp.closed());
});

test('what is not supported is refused by name', async () => {
  const resp = await server.resp();
  for (const command of [['FLUSHALL'], ['KEYS', '*'], ['CONFIG', 'GET', '*'], ['EVAL', 'return 1', '0'], ['SUBSCRIBE', 'x'], ['MULTI'], ['INCR', 'bl:x']]) {
    isError(await resp.command(...command), /^(ERR|NOPERM)/);
  }
  resp.close();
});

test('PC.CHECK takes and gives the JSON of HTTP; PC.REVOKE revokes every kind', async () => {
  const resp = await server.resp();
  const claims = server.issuer.claims();
  const token = server.issuer.sign(claims);
  assert.equal(JSON.parse(await resp.command('PC.CHECK', JSON.stringify({ token }))).allow, true);
  assert.equal(await resp.command('PC.REVOKE', 'token', claims.jti, 'TTL', '60', 'REASON', 'test'), 'OK');
  const denied = JSON.parse(await resp.command('PC.CHECK', JSON.stringify({ token })));
  assert.equal(denied.allow, false);
  assert.equal(denied.code, 'TOKEN_REVOKED');
  assert.equal(await resp.command('PC.REVOKE', 'subject', 'resp-bob', 'ISSUER', server.issuer.name), 'OK');
  assert.equal((await server.auth(server.issuer.mint({ sub: 'resp-bob' }))).json.error.code, 'SUBJECT_REVOKED');
  isError(await resp.command('PC.REVOKE', 'nonsense', 'x'), /^ERR/);
  isError(await resp.command('PC.REVOKE', 'token', 'x', 'TTL'), /^ERR syntax error/);
  isError(await resp.command('PC.REVOKE', 'subject', 'x', 'TTL', '5'), /^ERR/);
  isError(await resp.command('PC.CHECK', '{'), /^ERR/);
  resp.close();
});

test('PC.REVOKE issuer and all say whom they hit', async () => {
  const own = await Server.start({ issuers: 2, config: { resp: { prefixes: [{ prefix: 'a:', issuer: 'https://issuer0.test' }] } } });
  try {
    const [first, second] = own.issuers;
    const resp = await own.resp();
    isError(await resp.command('PC.REVOKE', 'issuer', 'https://issuer.test'), /^ERR no issuer "https:\/\/issuer.test" is configured/);
    isError(await resp.command('PC.REVOKE', 'issuer', first.name, 'ISSUER', second.name), /^ERR syntax error/);
    isError(await resp.command('PC.REVOKE', 'all', 'alice'), /^ERR kind all/);
    assert.equal((await own.auth(second.mint())).status, 200);
    assert.equal(await resp.command('PC.REVOKE', 'issuer', first.name), 'OK');
    assert.equal((await own.auth(first.mint())).status, 401);
    assert.equal((await own.auth(second.mint())).status, 200);
    assert.equal(await resp.command('PC.REVOKE', 'all', '*'), 'OK');
    assert.equal((await own.auth(second.mint())).status, 401);
    resp.close();
  } finally {
    await own.stop();
  }
});

test('role gateway revokes tokens of its prefixes\' issuers only', async () => {
  const own = await Server.start({ issuers: 2, config: { resp: { prefixes: [{ prefix: 'a:', issuer: 'https://issuer0.test' }] } } });
  try {
    const resp = await own.resp('resp', 'gateway');
    assert.equal(await resp.command('PC.REVOKE', 'token', 'x', 'ISSUER', own.issuers[0].name), 'OK');
    isError(await resp.command('PC.REVOKE', 'token', 'x', 'ISSUER', own.issuers[1].name), /^NOPERM/);
    isError(await resp.command('PC.REVOKE', 'token', 'x', 'ISSUER', '*'), /^NOPERM/);
    const answer = await own.revoke({ kind: 'token', id: 'x', issuer: '*' }, { role: 'gateway' });
    assert.equal(answer.status, 403);
    const operator = await own.resp();
    assert.equal(await operator.command('PC.REVOKE', 'token', 'x', 'ISSUER', '*'), 'OK');
    operator.close();
    resp.close();
  } finally {
    await own.stop();
  }
});

test('a prefix of form token takes the whole token and reduces it to issuer and jti', async () => {
  const own = await Server.start({ config: { resp: { prefixes: [{ prefix: 'tok:', form: 'token' }, { prefix: 'bl:' }] } } });
  try {
    const resp = await own.resp();
    const claims = own.issuer.claims();
    const token = own.issuer.sign(claims);
    assert.equal(await resp.command('EXISTS', `tok:${token}`), 0);
    assert.equal(await resp.command('SET', `tok:${token}`, '1', 'EX', '60'), 'OK');
    assert.equal(await resp.command('EXISTS', `bl:${claims.jti}`), 1);
    assert.equal((await own.auth(own.issuer.sign(claims, { header: { typ: 'at+jwt' } }))).status, 401);
    isError(await resp.command('SET', `tok:${token.slice(0, -4)}AAAA`, '1', 'EX', '60'), /^ERR/);
    resp.close();
  } finally {
    await own.stop();
  }
});

test('redis-cli works unmodified, on TCP and on the Unix socket', async () => {
  const tcp = server.address('resp');
  const key = unique();
  for (const where of [['-h', hostOf(tcp), '-p', String(portOf(tcp))], ['-s', server.address('resp-unix').slice(5)]]) {
    const redis = (...args) => run('redis-cli', [...where, '--no-auth-warning', '-a', server.tokens.operator, ...args]);
    assert.equal((await redis('PING')).stdout, 'PONG\n');
    assert.equal((await redis('SET', key, '1', 'EX', '60')).stdout, 'OK\n');
    assert.equal((await redis('EXISTS', key)).stdout, '1\n');
    assert.equal((await redis('DEL', key)).stdout, '1\n');
    const piped = await run('redis-cli', [...where, '--no-auth-warning', '-a', server.tokens.operator], { input: `SET ${key} 1 EX 60\nEXISTS ${key}\nDEL ${key}\n` });
    assert.equal(piped.stdout, 'OK\n1\n1\n');
    const pipe = await run('redis-cli', [...where, '--pipe'], { input: `AUTH ${server.tokens.operator}\r\nSET ${key} 1 EX 60\r\nDEL ${key}\r\n` });
    assert.match(pipe.stdout, /errors: 0, replies: 3/, pipe.stderr);
  }
});

test('redis-benchmark works unmodified', async () => {
  const tcp = server.address('resp');
  const bench = (...args) => run('redis-benchmark', ['-h', hostOf(tcp), '-p', String(portOf(tcp)), '-a', server.tokens.operator, '-q', '-n', '2000', '-c', '20', ...args]);
  for (const args of [['-t', 'ping'], ['-P', '16', 'EXISTS', 'bl:__rand_int__'], ['-r', '1000', 'SET', 'bl:__rand_int__', '1', 'EX', '60']]) {
    const { code, stdout, stderr } = await bench(...args);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /requests per second/);
    assert.doesNotMatch(stdout + stderr, /^Error|ERR /m);
  }
});

test('ioredis works unmodified, with pipelines and reconnects', async () => {
  const { default: Redis } = await import('ioredis');
  for (const where of [{ host: hostOf(server.address('resp')), port: portOf(server.address('resp')) }, { path: server.address('resp-unix').slice(5) }]) {
    const redis = new Redis({ ...where, password: server.tokens.operator, maxRetriesPerRequest: 1 });
    const errors = [];
    redis.on('error', (error) => errors.push(error));
    const key = unique();
    assert.equal(await redis.set(key, '1', 'EX', 100), 'OK');
    assert.equal(await redis.exists(key), 1);
    assert.equal(await redis.get(key), '1');
    assert.ok(await redis.ttl(key) > 90);
    assert.equal(await redis.setex(key, 10, '1'), 'OK');
    const results = await redis.pipeline().exists(key).del(key).exists(key).exec();
    assert.deepEqual(results, [[null, 1], [null, 1], [null, 0]]);
    await redis.quit();
    assert.deepEqual(errors, []);
  }
});

test('node-redis works unmodified', async () => {
  const { createClient } = await import('redis');
  for (const where of [{ host: hostOf(server.address('resp')), port: portOf(server.address('resp')) }, { path: server.address('resp-unix').slice(5) }]) {
    const client = createClient({ socket: where, password: server.tokens.operator });
    const errors = [];
    client.on('error', (error) => errors.push(error));
    await client.connect();
    const key = unique();
    assert.equal(await client.set(key, '1', { EX: 100 }), 'OK');
    assert.equal(await client.exists(key), 1);
    assert.equal(await client.get(key), '1');
    assert.ok(await client.pTTL(key) > 90_000);
    assert.equal(await client.expire(key, 200), 1);
    assert.deepEqual(await Promise.all([client.del(key), client.exists(key)]), [1, 0]);
    await client.close();
    assert.deepEqual(errors, []);
  }
});

test('a flood of pipelined commands from a client that does not read is held back', async () => {
  const greedy = await Resp.open(server.address('resp'));
  greedy.socket.pause();
  const block = Buffer.concat(Array.from({ length: 1000 }, () => Resp.encode(['EXISTS', unique()])));
  for (let i = 0; i < 300 && greedy.socket.write(block); i++);
  const other = await server.resp('resp', null);
  for (let i = 0; i < 20; i++) assert.equal(await other.command('PING'), 'PONG');
  other.close();
  greedy.close();
});
