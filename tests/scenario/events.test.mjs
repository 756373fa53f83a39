// SPDX-License-Identifier: Apache-2.0
// GET /v1/events of the real server: told after it is in effect, on every core, resumed, cut off
// where it must be, and out of the way when the server stops.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { Sse } from './lib/sse.mjs';
import { until, within } from './lib/wait.mjs';

let server;
before(async () => { server = await Server.start(); });
after(() => server?.stop());

const open = (role, { to = server, id, listener = 'http', ...options } = {}) => Sse.open(to.address(listener), {
  ...options, headers: { ...(role ? to.bearer(role) : {}), ...(id ? { 'Last-Event-ID': id } : {}) },
});
const setFlag = async (key, value, to = server) => {
  const http = await to.http();
  const answer = await http.request('POST', `/flags/${key}`, { body: { value }, headers: to.bearer('operator') });
  http.close();
  assert.equal(answer.status, 200, answer.body);
};
const metric = async (name, to = server) => {
  const text = (await to.get('/metrics', { headers: to.bearer('admin') })).body;
  return Number(new RegExp(`^${name.replace(/[{}"]/g, '\\$&')} (\\S+)`, 'm').exec(text)?.[1] ?? NaN);
};

test('a flag is told to every credential, on every core, once it is in effect', async () => {
  const streams = [];
  for (let i = 0; i < 12; i++) streams.push(await open(['gateway', 'viewer', 'operator', 'admin'][i % 4], { path: '/v1/events?types=flag' }));
  for (let value = 0; value < 20; value++) {
    const told = streams.map(async (stream) => {
      const event = await stream.event();
      assert.deepEqual({ ...event, id: undefined }, { event: 'flag', id: undefined, key: 'test.counter', value, type: 'integer', source: 'admin:test-operator' });
      const flag = (await server.get('/flags/test.counter', { headers: server.bearer('gateway') })).json.flag;
      assert.ok(flag.value >= value, `told of ${value}, then read ${flag.value}`);
    });
    await setFlag('test.counter', value);
    await Promise.all(told);
  }
  assert.equal(await metric('portcullis_event_streams_open'), 12);
  for (const stream of streams) stream.close();
  await until('the streams to be gone', async () => (await metric('portcullis_event_streams_open')) === 0);
});

test('revocations are told to operators and administrators alone, and hold no token', async () => {
  const [gateway, viewer, operator, admin] = await Promise.all(['gateway', 'viewer', 'operator', 'admin'].map((role) => open(role)));
  const claims = server.issuer.claims();
  const token = server.issuer.sign(claims);
  const http = await server.http();
  await http.request('POST', '/v1/revoke', { body: { token, reason: 'lost "phone"' }, headers: { ...server.bearer('gateway'), 'X-Request-ID': 'the-call' } });
  await http.request('DELETE', '/v1/revoke', { body: { kind: 'token', id: claims.jti }, headers: server.bearer('operator') });
  http.close();
  await setFlag('test.behind', true);
  for (const stream of [operator, admin]) {
    const events = [await stream.event(), await stream.event(), await stream.event()];
    const [revoked, cleared] = events.filter((e) => e.event === 'revocation');
    assert.equal(revoked.op, 'revoke');
    assert.equal(revoked.kind, 'token');
    assert.equal(revoked.issuer, server.issuer.name);
    assert.equal(revoked.id, claims.jti, 'the id of what was revoked, not of the event');
    assert.equal(revoked.reason, 'lost "phone"');
    assert.equal(revoked.actor, 'token:test-gateway');
    assert.equal(revoked.request_id, 'the-call');
    assert.equal(revoked.source, '127.0.0.1');
    assert.ok(Math.abs(revoked.at - Date.now() / 1000) < 60);
    assert.equal(cleared.op, 'clear');
    assert.ok(!JSON.stringify(events).includes(token.split('.')[2]));
  }
  for (const stream of [gateway, viewer]) assert.equal((await stream.event()).key, 'test.behind');
  for (const stream of [gateway, viewer, operator, admin]) stream.close();
});

test('a client goes on where it left off; unknown ids are told to begin again', async () => {
  const first = await open('operator');
  await first.block(); // the greeting holds an id: nothing was seen yet, nothing is missed
  first.close();
  for (let i = 0; i < 50; i++) await server.revoke({ kind: 'session', id: `s${i}`, ttl: 60 });
  await setFlag('test.resume', 'a');
  let last = first.lastId;
  const seen = [];
  while (seen.length < 51) {
    const stream = await open('operator', { id: last });
    for (let i = 0; i < 7 && seen.length < 51; i++) seen.push(await stream.event());
    last = stream.lastId;
    stream.close();
  }
  assert.ok(seen.every((e) => e.event !== 'reset'));
  const ids = seen.filter((e) => e.kind === 'session').map((e) => e.id);
  assert.deepEqual(ids, Array.from({ length: 50 }, (_, i) => `s${i}`));
  assert.equal(seen.filter((e) => e.key === 'test.resume').length, 1);
  const stranger = await open('viewer', { path: '/v1/events?last_event_id=0000000000000000-1-1' });
  assert.deepEqual({ ...(await stranger.event()), id: null }, { event: 'reset', id: null, reason: 'unknown_id', types: ['flag'] });
  stranger.close();
});

test('after a restart a client is told to begin again', async () => {
  const own = await Server.start();
  try {
    const stream = await open('viewer', { to: own });
    await setFlag('test.before', 1, own);
    await stream.event();
    await own.restart();
    const again = await open('viewer', { to: own, id: stream.lastId });
    assert.equal((await again.event()).event, 'reset');
    const flag = (await own.get('/flags/test.before', { headers: own.bearer('viewer') })).json.flag;
    assert.equal(flag.value, 1);
    await setFlag('test.after', 2, own);
    assert.equal((await again.event()).key, 'test.after');
    stream.close();
    again.close();
  } finally {
    await own.stop();
  }
});

test('a changed flag file is told flag by flag, or as one event when there are many', async () => {
  const own = new Server();
  const file = path.join(own.dir, 'flags.json');
  const write = (flags) => {
    fs.writeFileSync(`${file}.new`, JSON.stringify(flags));
    fs.renameSync(`${file}.new`, file);
  };
  write({ 'file.a': 1, 'file.b': true });
  own.config.flags = { file };
  own.writeConfig();
  await own.start();
  try {
    const stream = await open('gateway', { to: own });
    write({ 'file.a': 2, 'file.c': 'new' });
    const events = [await stream.event(), await stream.event(), await stream.event()].sort((a, b) => (a.key < b.key ? -1 : 1));
    assert.deepEqual(events.map((e) => [e.key, e.value, e.source]), [['file.a', 2, 'file'], ['file.b', null, null], ['file.c', 'new', 'file']]);
    write(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`many.f${i}`, i])));
    const many = await stream.event();
    assert.equal(many.event, 'flags');
    assert.equal(many.changed, 102);
    stream.close();
  } finally {
    await own.stop();
  }
});

test('heartbeats go on beyond every other deadline, and the connection serves nothing else', async () => {
  const short = { idle_timeout: '50ms', request_timeout: '50ms', header_timeout: '50ms', body_timeout: '50ms' };
  const own = await Server.start({ config: { events: { heartbeat: '50ms' }, http: short } });
  try {
    const stream = await open('viewer', { to: own });
    await stream.block();
    stream.send('GET /liveness HTTP/1.1\r\nHost: a\r\n\r\n');
    for (let i = 0; i < 20; i++) assert.deepEqual((await stream.block()).comments, ['still here']);
    await setFlag('test.alive', true, own);
    assert.equal((await stream.event()).key, 'test.alive');
    const old = await open('viewer', { to: own, version: '1.0' }).catch((error) => error);
    if (old instanceof Sse) {
      assert.ok(!old.chunked);
      assert.equal((await old.block()).retry, '2000');
      old.close();
    }
    stream.close();
  } finally {
    await own.stop();
  }
});

test('a reader that takes nothing is cut off; the others notice nothing', async () => {
  const own = await Server.start({ config: { events: { heartbeat: '100ms' }, http: { output_buffer: '16KiB' } } });
  try {
    const good = await open('operator', { to: own });
    // The buffers of a Unix socket are small.
    const bad = await open('operator', { to: own, listener: 'http-unix' });
    let told = 0;
    const reading = (async () => {
      for (let event; (event = await good.event());) told += event.event === 'revocation';
    })();
    bad.socket.pause();
    const batch = Array.from({ length: 2000 }, (_, i) => ({ kind: 'token', id: `t${i}`, ttl: 60, reason: 'x'.repeat(100) }));
    await until('the slow reader to be cut off', async () => {
      assert.equal((await own.revoke(batch)).status, 200);
      return (await metric('portcullis_event_streams_ended_total{reason="slow"}', own)) === 1;
    });
    await until('the line in the log', () => /"event_stream_dropped".*"slow"/.test(own.log));
    assert.equal(await metric('portcullis_event_streams_open', own), 1);
    assert.ok(told > 0);
    bad.socket.resume();
    let last;
    for (let event; (event = await within('the last events', bad.event()));) last = event;
    assert.equal(last.event, 'dropped');
    assert.equal(last.reason, 'slow');
    assert.ok(!bad.cut, 'the stream ended in order');
    good.close();
    bad.close();
    await reading.catch(() => {});
  } finally {
    await own.stop();
  }
});

test('streams are bounded, and one that ends makes room', async () => {
  const own = await Server.start({ config: { cores: 1, events: { max_streams: 3 } } });
  try {
    const streams = [];
    for (let i = 0; i < 3; i++) streams.push(await open('viewer', { to: own }));
    const refused = await open('viewer', { to: own });
    assert.equal(refused.answer.status, 503);
    assert.equal(JSON.parse(refused.body).error.code, 'TOO_MANY_STREAMS');
    assert.ok(Number(refused.answer.headers['retry-after']) > 0);
    refused.close();
    streams.pop().close();
    await until('room for another', async () => {
      const next = await open('viewer', { to: own });
      if (next.answer.status === 200) streams.push(next);
      else next.close();
      return next.answer.status === 200;
    });
    assert.ok((await metric('portcullis_event_streams_refused_total', own)) >= 1);
    for (const stream of streams) stream.close();
  } finally {
    await own.stop();
  }
});

test('a stream ends with its credential', async () => {
  const own = await Server.start({ config: { events: { heartbeat: '50ms' } } });
  try {
    const stream = await open('operator', { to: own });
    const other = await open('viewer', { to: own });
    const file = own.config.admin.tokens_file;
    const set = JSON.parse(fs.readFileSync(file, 'utf8'));
    set.tokens.find((t) => t.role === 'operator').revoked = Math.floor(Date.now() / 1000) - 1;
    fs.writeFileSync(file, JSON.stringify(set), { mode: 0o600 });
    own.signal('SIGHUP');
    assert.deepEqual(await stream.event(), { event: 'dropped', id: undefined, reason: 'credential' });
    assert.equal(await stream.event(), null);
    assert.ok(!stream.cut);
    await other.block();
    assert.deepEqual((await other.block()).comments, ['still here']);
    stream.close();
    other.close();
  } finally {
    await own.stop();
  }
});

test('when the server stops streams end in order and hold it up for nothing', async () => {
  const own = await Server.start({ config: { shutdown_grace: '20s' } });
  const streams = [];
  for (let i = 0; i < 8; i++) streams.push(await open('operator', { to: own }));
  const ends = streams.map((stream) => stream.event());
  const began = performance.now();
  own.signal('SIGTERM');
  for (const end of ends) assert.equal(await within('the stream to end', end), null);
  for (const stream of streams) assert.ok(!stream.cut);
  for (const stream of streams) stream.close();
  assert.equal((await within('the server to stop', own.exited)).code, 0);
  assert.ok(performance.now() - began < 15_000);
});

test('portcullis events prints a line of JSON each, goes on behind an id, and outlives a restart', async () => {
  const own = await Server.start();
  try {
    const lines = async (args, role) => {
      // A Unix socket has the same name after a restart.
      const env = { PORTCULLIS_URL: own.address('http-unix') };
      const { code, stdout, stderr } = await own.cli(['events', ...args], { role, env });
      return { code, stderr, events: stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line)) };
    };
    const stream = await open('operator', { to: own });
    await stream.block();
    await setFlag('test.cli', 1, own);
    await own.revoke({ kind: 'session', id: 'cli', ttl: 60 });
    await stream.event();
    await stream.event();
    const last = stream.lastId;
    const { code, events } = await lines(['--after', stream.lastId.replace(/-\d+-\d+$/, '-1-1'), '--count', '2'], 'operator');
    assert.equal(code, 0);
    assert.deepEqual(events.map((e) => e.event).sort(), ['flag', 'revocation']);
    assert.ok(events.every((e) => e.id && e.data));
    await until('the first command to be gone', async () => (await metric('portcullis_event_streams_open', own)) === 1);
    const watching = lines(['--after', last, '--count', '2', '--types', 'flag'], 'viewer');
    await until('the command to watch', async () => (await metric('portcullis_event_streams_open', own)) === 2);
    stream.close();
    await own.restart();
    await until('the command to watch again', async () => (await metric('portcullis_event_streams_open', own)) === 1);
    await setFlag('test.cli', 2, own);
    const after = await watching;
    assert.equal(after.code, 0, after.stderr);
    assert.deepEqual(after.events.map((e) => e.event), ['reset', 'flag']);
    assert.match(after.stderr, /opening it again/);
    assert.equal((await lines(['--types', 'nonsense'], 'viewer')).code, 3);
    assert.equal((await lines(['--types', 'revocation'], 'viewer')).code, 3);
    assert.equal((await lines(['--count', '0'], 'viewer')).code, 2);
  } finally {
    await own.stop();
  }
});

test('a flood of revocations resets nobody who watches flags', async () => {
  const flags = await open('operator', { path: '/v1/events?types=flag' });
  const batch = Array.from({ length: 4000 }, (_, i) => ({ kind: 'token', id: `flood${i}`, ttl: 60 }));
  await flags.block();
  for (let i = 0; i < 8; i++) assert.equal((await server.revoke(batch)).status, 200);
  await setFlag('test.flood', 1);
  assert.equal((await flags.event()).key, 'test.flood');
  const resumed = await open('operator', { id: flags.lastId, path: '/v1/events?types=flag' });
  await setFlag('test.flood', 2);
  assert.equal((await resumed.event()).value, 2);
  flags.close();
  resumed.close();
});
