// SPDX-License-Identifier: Apache-2.0
// Feature flags: four layers, what each refuses, what survives a restart, and reloads under load.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Decider } from './lib/load.mjs';
import { Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';
import { once } from './lib/wire.mjs';

const BUILT_IN = {
  'auth.enable_2fa': false,
  'jobs.enable_testing': false,
  'ui.show_beta_features': false,
  'api.rate_limit_strict': false,
  'payment.enable_test_mode': true,
  'uploads.max_file_size_mb': 10,
  'cache.ttl_seconds': 300,
  'maintenance.mode_enabled': false,
};

// A server whose flag file holds `flags` (undefined: there is none), and ways to speak to it.
class FlagServer extends Server {
  constructor({ flags, config = {}, ...options } = {}) {
    super({ ...options, config });
    this.file = path.join(this.dir, 'flags.json');
    if (flags !== undefined) {
      this.write(flags);
      this.config.flags = { file: this.file };
      this.writeConfig();
    }
  }

  static async start(options) {
    const server = new FlagServer(options);
    await server.start();
    return server;
  }

  // Replaced by renaming, as it should be.
  write(flags) {
    const text = typeof flags === 'string' ? flags : JSON.stringify(flags);
    fs.writeFileSync(`${this.file}.new`, text);
    fs.renameSync(`${this.file}.new`, this.file);
  }

  flag(method, key, { body, role = 'operator', listener } = {}) {
    return once(this.address(listener), method, `/flags/${key}`, { body, headers: this.bearer(role) });
  }

  async value(key) {
    const answer = await this.flag('GET', key, { role: 'viewer' });
    return answer.status === 200 ? answer.json.flag.value : undefined;
  }

  async list() {
    const answer = await this.get('/flags', { headers: this.bearer('viewer') });
    assert.equal(answer.status, 200, answer.body);
    return answer.json;
  }

  reload(role = 'admin') {
    return once(this.address(), 'POST', '/admin/flags/reload', { headers: this.bearer(role) });
  }
}

async function withServer(options, body) {
  const server = await FlagServer.start(options);
  try {
    await body(server);
  } finally {
    await server.stop();
  }
}

let server;
before(async () => { server = await FlagServer.start(); });
after(() => server?.stop());

// ---- reading

test('GET /flags lists the built-in flags in the documented shape', async () => {
  const own = await FlagServer.start();
  const list = await own.list();
  assert.deepEqual(Object.keys(list).sort(), ['flags', 'message', 'total']);
  assert.equal(list.total, 8);
  assert.deepEqual(Object.fromEntries(Object.entries(list.flags).map(([key, flag]) => [key, flag.value])), BUILT_IN);
  for (const [key, flag] of Object.entries(list.flags)) {
    assert.deepEqual(Object.keys(flag).sort(), ['category', 'description', 'source', 'type', 'value'], key);
    assert.equal(flag.source, 'default');
    assert.equal(flag.type, typeof flag.value === 'boolean' ? 'boolean' : 'integer');
    assert.ok(flag.category.length && flag.description.length, key);
  }
  await own.stop();
});

test('GET /flags/{key} answers in the documented shape, 404 for a flag there is not', async () => {
  const answer = await server.flag('GET', 'cache.ttl_seconds', { role: 'gateway' });
  assert.equal(answer.status, 200);
  assert.deepEqual(Object.keys(answer.json).sort(), ['flag', 'message']);
  assert.deepEqual(answer.json.flag, { key: 'cache.ttl_seconds', value: 300, source: 'default', type: 'integer', category: 'cache' });
  const none = await server.flag('GET', 'no.such');
  assert.equal(none.status, 404);
  assert.equal(none.json.error.code, 'FLAG_NOT_FOUND');
  assert.match(none.json.error.message, /no\.such/);
});

// ---- runtime values

test('POST /flags/{key} sets a flag, seen at once on every core, with who did it', async () => {
  const set = await server.flag('POST', 'cache.ttl_seconds', { body: { value: 60, reason: 'less traffic' } });
  assert.equal(set.status, 200, set.body);
  assert.deepEqual(Object.keys(set.json).sort(), ['flag', 'message']);
  assert.deepEqual(set.json.flag, { key: 'cache.ttl_seconds', value: 60, source: 'admin:test-operator' });
  const seen = await Promise.all(Array.from({ length: 24 }, () => server.flag('GET', 'cache.ttl_seconds')));
  for (const { json } of seen) assert.deepEqual([json.flag.value, json.flag.source], [60, 'admin:test-operator']);
  const removed = await server.flag('DELETE', 'cache.ttl_seconds');
  assert.equal(removed.status, 200);
  assert.deepEqual(removed.json.flag, { key: 'cache.ttl_seconds', value: 300, source: 'default' });
  const again = await server.flag('DELETE', 'cache.ttl_seconds');
  assert.equal(again.status, 404);
  assert.equal(again.json.error.code, 'FLAG_NOT_SET');
});

test('a flag nobody knows is created with the type of its value, and gone when it is removed', async () => {
  for (const [value, type] of [[true, 'boolean'], ['x', 'string'], [7, 'integer'], [0.5, 'number'], [{ a: [1, null, { b: 'c' }] }, 'object']]) {
    assert.equal((await server.flag('POST', 'made.up', { body: { value } })).status, 200);
    const { json } = await server.flag('GET', 'made.up');
    assert.deepEqual(json.flag, { key: 'made.up', value, source: 'admin:test-operator', type, category: 'made' });
    const removed = await server.flag('DELETE', 'made.up');
    assert.deepEqual([removed.status, removed.json.flag], [200, null]);
    assert.equal((await server.flag('GET', 'made.up')).status, 404);
  }
  assert.equal((await server.flag('DELETE', 'made.up')).status, 404);
});

test('a value of another type is refused and both types are named', async () => {
  for (const [key, value, pattern] of [
    ['auth.enable_2fa', 'yes', /boolean.*string/], ['auth.enable_2fa', 1, /boolean.*integer/], ['cache.ttl_seconds', 1.5, /integer.*number/],
    ['cache.ttl_seconds', true, /integer.*boolean/], ['cache.ttl_seconds', {}, /integer.*object/], ['cache.ttl_seconds', null, /null/], ['cache.ttl_seconds', [1], /array/],
  ]) {
    const answer = await server.flag('POST', key, { body: { value } });
    assert.equal(answer.status, 400, `${key} ${JSON.stringify(value)}: ${answer.body}`);
    assert.equal(answer.json.error.code, 'FLAG_TYPE_MISMATCH');
    assert.match(answer.json.error.message, pattern);
    assert.ok(answer.json.error.message.includes(key));
  }
  assert.equal(await server.value('auth.enable_2fa'), false);
});

test('what is no flag or no body is refused with what is wrong', async () => {
  const post = (key, body) => server.flag('POST', key, { body });
  for (const [key, body, code, pattern] of [
    ['a..b', { value: 1 }, 'FLAG_KEY_INVALID', /byte 3/], ['-a', { value: 1 }, 'FLAG_KEY_INVALID', /begins/], ['k'.repeat(129), { value: 1 }, 'FLAG_KEY_INVALID', /128/],
    ['a%20b', { value: 1 }, 'FLAG_KEY_INVALID', /byte 2/],
    ['a', {}, 'BAD_REQUEST', /value is missing/], ['a', [1], 'BAD_REQUEST', /object/], ['a', { value: 1, surprise: 2 }, 'BAD_REQUEST', /surprise/],
    ['a', { value: 1, ephemeral: 'yes' }, 'BAD_REQUEST', /ephemeral/], ['a', { value: 1, reason: 1 }, 'BAD_REQUEST', /reason/],
    ['a', { value: 1, reason: 'x'.repeat(513) }, 'BAD_REQUEST', /512/],
    ['a', { value: 'x'.repeat(4096) }, 'FLAG_TOO_LARGE', /4096/], ['a', { value: { a: [[[[[[[[1]]]]]]]] } }, 'FLAG_TOO_LARGE', /8 deep/],
    ['a', { value: { a: Array(600).fill(1) } }, 'FLAG_TOO_LARGE', /512/],
    ['a', '{"value":1,', 'JSON_INVALID', /line 1 column 12/], ['a', '{"value":1,"value":2}', 'JSON_INVALID', /duplicate/],
  ]) {
    const answer = await post(key, body);
    const what = `${key} ${JSON.stringify(body).slice(0, 60)}: ${answer.body}`;
    assert.equal(answer.status, 400, what);
    assert.equal(answer.json.error.code, code, what);
    assert.match(answer.json.error.message, pattern, what);
  }
  assert.equal((await server.list()).total, 8);
});

test('what was set survives a restart and a crash; what is ephemeral does not, and the answer says so', async () => {
  const own = await FlagServer.start({ flags: { 'from.file': 1 } });
  const ephemeral = await own.flag('POST', 'auth.enable_2fa', { body: { value: true, ephemeral: true } });
  assert.match(ephemeral.json.warning, /next start/);
  assert.equal((await own.flag('POST', 'from.file', { body: { value: 5, ephemeral: true } })).status, 200);
  assert.equal((await own.flag('POST', 'cache.ttl_seconds', { body: { value: 61 } })).json.warning, undefined);
  assert.equal((await own.flag('POST', 'made.up', { body: { value: 'kept' }, role: 'admin' })).status, 200);
  assert.equal((await own.flag('POST', 'gone', { body: { value: 1 } })).status, 200);
  assert.equal((await own.flag('DELETE', 'gone')).status, 200);
  assert.deepEqual([await own.value('auth.enable_2fa'), await own.value('from.file')], [true, 5]);
  const expected = async () => {
    assert.deepEqual((await own.flag('GET', 'auth.enable_2fa')).json.flag.source, 'default');
    assert.deepEqual((await own.flag('GET', 'from.file')).json.flag.source, 'file');
    assert.equal(await own.value('from.file'), 1);
    const { flag } = (await own.flag('GET', 'cache.ttl_seconds')).json;
    assert.deepEqual([flag.value, flag.source], [61, 'admin:test-operator']);
    assert.deepEqual((await own.flag('GET', 'made.up')).json.flag.source, 'admin:test-admin');
    assert.equal((await own.flag('GET', 'gone')).status, 404);
  };
  await own.kill();
  await own.start();
  await expected();
  await own.restart(); // now from a snapshot
  await expected();
  await own.stop();
});

test('an ephemeral value hides a durable one until the restart', async () => {
  const own = await FlagServer.start();
  await own.flag('POST', 'cache.ttl_seconds', { body: { value: 1 } });
  await own.flag('POST', 'cache.ttl_seconds', { body: { value: 2, ephemeral: true } });
  assert.equal(await own.value('cache.ttl_seconds'), 2);
  await own.restart();
  assert.equal(await own.value('cache.ttl_seconds'), 1);
  await own.flag('POST', 'cache.ttl_seconds', { body: { value: 2, ephemeral: true } });
  assert.equal((await own.flag('DELETE', 'cache.ttl_seconds')).json.flag.source, 'default');
  await own.restart();
  assert.equal(await own.value('cache.ttl_seconds'), 300);
  await own.stop();
});

test('maintenance: decisions are 503 on every core once it was answered, and go on when it ends', async () => {
  const token = server.issuer.mint();
  const all = async () => Promise.all(Array.from({ length: 16 }, () => server.auth(token)));
  assert.equal((await server.flag('POST', 'maintenance.mode_enabled', { body: { value: true } })).status, 200);
  for (const { status, headers } of await all()) assert.deepEqual([status, Number(headers['retry-after']) > 0], [503, true]);
  assert.match((await server.get('/metrics', { headers: server.bearer('admin') })).body, /^portcullis_maintenance 1$/m);
  assert.equal((await server.flag('DELETE', 'maintenance.mode_enabled')).status, 200);
  for (const { status } of await all()) assert.equal(status, 200);
});

// ---- the environment

test('the environment is highest: setting what it holds is 409 and names the variable', () => withServer({
  flags: { 'new-checkout.flow_2': 'old' },
  env: { FLAG_AUTH_ENABLE_2FA: 'true', FLAG_NEW_CHECKOUT_FLOW_2: 'next', FLAG_SOMETHING_NEW_HERE: '{"a": [1]}', FLAG_SOLO: 'a text' },
}, async (own) => {
  const { flags } = await own.list();
  assert.equal(flags['auth.enable_2fa'].value, true);
  assert.equal(flags['auth.enable_2fa'].source, 'environment');
  assert.equal(flags['new-checkout.flow_2'].value, 'next');
  assert.deepEqual(flags['something.new_here'].value, { a: [1] });
  assert.equal(flags.solo.value, 'a text');
  const held = await own.flag('POST', 'auth.enable_2fa', { body: { value: false } });
  assert.equal(held.status, 409);
  assert.match(held.json.error.message, /FLAG_AUTH_ENABLE_2FA/);
  assert.equal(await own.value('auth.enable_2fa'), true);
  own.write({ 'auth.enable_2fa': false, 'new-checkout.flow_2': 'newer', other: 1 });
  await until('the file to be read', async () => await own.value('other') === 1);
  assert.equal(await own.value('auth.enable_2fa'), true);
  assert.equal(await own.value('new-checkout.flow_2'), 'next');
}));

test('a variable that cannot be its flag refuses the start and is named', async () => {
  for (const [env, pattern] of [
    [{ FLAG_AUTH_ENABLE_2FA: 'perhaps' }, /FLAG_AUTH_ENABLE_2FA \(flag auth\.enable_2fa\): the flag is a boolean, the value is a string/],
    [{ FLAG_CACHE_TTL_SECONDS: '1.5' }, /FLAG_CACHE_TTL_SECONDS.*integer.*number/],
    [{ FLAG_: '1' }, /FLAG_/], [{ FLAG_lower: '1' }, /FLAG_lower/], [{ FLAG_A_B_C: '1' }, /FLAG_A_B_C could be the flag a\.b_c or a_b\.c/],
  ]) {
    const own = new FlagServer({ flags: { 'a.b_c': 1, 'a_b.c': 1 }, env });
    const { code, log } = await own.startRefused();
    assert.notEqual(code, 0);
    assert.match(log, pattern);
  }
});

// ---- the file

test('a file of flagd definitions and short values; metadata is shown', () => withServer({
  flags: {
    $schema: 'https://flagd.dev/schema/v0/flags.json',
    flags: {
      'ui.theme': {
        state: 'ENABLED', variants: { dark: 'd', light: 'l' }, defaultVariant: 'light', metadata: { category: 'look', description: 'Colours' },
      },
      off: { state: 'DISABLED', variants: { on: true }, defaultVariant: 'on' },
      'cache.ttl_seconds': 5,
    },
  },
}, async (own) => {
  const { flags, total } = await own.list();
  assert.equal(total, 9);
  assert.deepEqual(flags['ui.theme'], { value: 'l', source: 'file', type: 'string', category: 'look', description: 'Colours' });
  assert.equal(flags['cache.ttl_seconds'].source, 'file');
  assert.equal(flags.off, undefined);
}));

test('the file is read again when it changes, however it is changed', () => withServer({ flags: { n: 0 } }, async (own) => {
  const becomes = (n) => until(`n to be ${n}`, async () => await own.value('n') === n);
  own.write({ n: 1 });
  await becomes(1);
  fs.writeFileSync(own.file, '{"n": 2}'); // in place
  await becomes(2);
  // Half of it first: refused, and accepted when it is complete.
  const half = fs.openSync(own.file, 'w');
  fs.writeSync(half, '{"n":\n ');
  await until('the half file to be refused', async () => (await own.reload()).status === 400);
  assert.equal(await own.value('n'), 2);
  fs.writeSync(half, '3}');
  fs.closeSync(half);
  await becomes(3);
  // By links, as Kubernetes does it.
  for (const n of [4, 5]) {
    fs.mkdirSync(path.join(own.dir, `..${n}`));
    fs.writeFileSync(path.join(own.dir, `..${n}`, 'flags.json'), JSON.stringify({ n }));
    fs.symlinkSync(`..${n}`, path.join(own.dir, '..tmp'));
    fs.renameSync(path.join(own.dir, '..tmp'), path.join(own.dir, '..data'));
    if (n === 4) {
      fs.symlinkSync('..data/flags.json', `${own.file}.link`);
      fs.renameSync(`${own.file}.link`, own.file);
    }
    await becomes(n);
  }
}));

test('a bad file is refused with line and column and the old flags stay', () => withServer({ flags: { n: 1, 'cache.ttl_seconds': 7 } }, async (own) => {
  for (const [text, pattern] of [
    ['{"n": 2,\n "cache.ttl_seconds": "x"}', /line 2 column 23: cache\.ttl_seconds: the flag is an integer, the value is a string/],
    ['{"n": 2,\n\n}', /line 3 column 1/],
    ['{"n":2,"t":{"variants":{"a":1},"defaultVariant":"a",\n"targeting":{"if":[]}}}', /line 2 column 1: t: targeting is not supported in this version/],
    ['{"n": 2, "n": 3}', /line 1 column 11: duplicate/],
    ['', /line 1 column 1/],
  ]) {
    own.write(text);
    await until('the refusal in the log', () => own.log.split('\n').some((line) => /flags_refused.*the old flags stay/.test(line) && pattern.test(line)));
    const answer = await own.reload();
    assert.equal(answer.status, 400);
    assert.equal(answer.json.error.code, 'RELOAD_REFUSED');
    assert.match(answer.json.error.message, pattern);
    assert.ok(answer.json.error.message.includes(own.file));
    assert.deepEqual([await own.value('n'), await own.value('cache.ttl_seconds')], [1, 7]);
    // A reload of everything is refused as a whole.
    const all = await once(own.address(), 'POST', '/admin/reload', { headers: own.bearer('admin') });
    assert.equal(all.status, 400, all.body);
    assert.match(all.json.error.message, pattern);
  }
  own.write({ n: 9 });
  await until('the good file', async () => await own.value('n') === 9);
  assert.equal(await own.value('cache.ttl_seconds'), 300);
}));

test('a file that gives a flag another type than the environment is refused and names the variable', () => withServer({
  flags: { n: 1 }, env: { FLAG_NEW_THING: 'a text' },
}, async (own) => {
  assert.equal(await own.value('new.thing'), 'a text');
  own.write({ n: 2, 'new.thing': true });
  const answer = await own.reload();
  assert.equal(answer.status, 400);
  assert.match(answer.json.error.message, /FLAG_NEW_THING \(flag new\.thing\): the flag is a boolean, the value is a string/);
  assert.deepEqual([await own.value('n'), await own.value('new.thing')], [1, 'a text']);
  const all = await once(own.address(), 'POST', '/admin/reload', { headers: own.bearer('admin') });
  assert.equal(all.status, 400, all.body);
  own.write({ n: 2, 'new.thing': 'other' });
  await until('the good file', async () => await own.value('n') === 2);
  assert.equal(await own.value('new.thing'), 'a text');
}));

test('a bad file refuses the start; a missing one too', async () => {
  const own = new FlagServer({ flags: '{"flags":{"a":\n nil}}' });
  const bad = await own.startRefused();
  assert.notEqual(bad.code, 0);
  assert.match(bad.log, /flags\.file: .*flags\.json: line 2 column 2/);
  fs.rmSync(own.file);
  const missing = await own.startRefused();
  assert.notEqual(missing.code, 0);
  assert.match(missing.log, /flags\.file: cannot open .*flags\.json/);
});

test('reloads by call and by SIGHUP; another file by configuration', () => withServer({ flags: { n: 1 } }, async (own) => {
  own.write({ n: 2 });
  const done = await own.reload();
  assert.deepEqual([done.status, done.json.total], [200, 9]);
  assert.equal(await own.value('n'), 2);
  const other = path.join(own.dir, 'other.json');
  fs.writeFileSync(other, '{"n": 10}');
  own.config.flags.file = other;
  own.writeConfig();
  own.signal('SIGHUP');
  await until('the other file', async () => await own.value('n') === 10);
  own.write({ n: 11 });
  fs.writeFileSync(other, '{"n": 12}');
  await until('only the other file to count', async () => await own.value('n') === 12);
  delete own.config.flags;
  own.writeConfig();
  own.signal('SIGHUP');
  await until('no file any more', async () => (await own.list()).total === 8);
}));

test('a runtime value of a type the file no longer has is ignored, counted and logged', () => withServer({ flags: { x: 1 } }, async (own) => {
  assert.equal((await own.flag('POST', 'x', { body: { value: 2 } })).status, 200);
  own.write({ x: 'text' });
  await until('the new type', async () => await own.value('x') === 'text');
  await until('the log to tell', () => /flag_values_ignored.*\(x is the first\)/.test(own.log));
  const metrics = (await own.get('/metrics', { headers: own.bearer('admin') })).body;
  assert.match(metrics, /^portcullis_flag_values_ignored 1$/m);
  assert.equal((await own.flag('POST', 'x', { body: { value: 'mine' } })).status, 200);
  assert.equal(await own.value('x'), 'mine');
  assert.equal((await own.flag('DELETE', 'x')).json.flag.source, 'file');
}));

test('a list larger than a core holds is answered all the same', () => withServer({
  flags: Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`large.k${i}`, 'x'.repeat(200)])),
}, async (own) => {
  const { total, flags } = await own.list();
  assert.equal(total, 2008);
  assert.equal(flags['large.k1999'].value.length, 200);
}));

test('metrics tell where flags come from and how reloads went', () => withServer({ flags: { n: 1 }, env: { FLAG_SOLO: '1' } }, async (own) => {
  await own.flag('POST', 'made.up', { body: { value: 1 } });
  own.write('{');
  assert.equal((await own.reload()).status, 400);
  own.write({ n: 2 });
  assert.equal((await own.reload()).status, 200);
  const text = (await own.get('/metrics', { headers: own.bearer('admin') })).body;
  for (const [source, n] of [['default', 8], ['file', 1], ['admin', 1], ['environment', 1]]) {
    assert.match(text, new RegExp(`^portcullis_flags\\{source="${source}"\\} ${n}$`, 'm'));
  }
  assert.match(text, /^portcullis_flag_reloads_total\{result="ok"\} [1-9]/m);
  assert.match(text, /^portcullis_flag_reloads_total\{result="refused"\} [1-9]/m);
  assert.match(text, /^portcullis_maintenance 0$/m);
}));

// ---- the command

test('portcullis flags: list, get, set, unset, reload', () => withServer({ flags: { 'release.name': '1' }, env: { FLAG_AUTH_ENABLE_2FA: 'true' } }, async (own) => {
  const flags = (...args) => own.cli(['flags', ...args]);
  const list = await flags('list');
  assert.equal(list.code, 0, list.stderr);
  assert.match(list.stdout, /^cache\.ttl_seconds +integer +default +300$/m);
  const set = await flags('set', 'cache.ttl_seconds', '42', '--reason', 'a test');
  assert.equal(set.code, 0, set.stderr);
  const get = await flags('get', 'cache.ttl_seconds');
  assert.match(get.stdout, /^value +42$/m);
  assert.match(get.stdout, /^source +admin:test-admin$/m);
  assert.equal(JSON.parse((await flags('get', 'cache.ttl_seconds', '--json')).stdout).flag.value, 42);
  // 42 is an integer, unless it is said to be a text.
  const typed = await flags('set', 'release.name', '42');
  assert.notEqual(typed.code, 0);
  assert.match(typed.stderr, /release\.name: the flag is a string, the value is an integer/);
  assert.equal((await flags('set', 'release.name', '42', '--string')).code, 0);
  assert.equal(await own.value('release.name'), '42');
  const ephemeral = await flags('set', 'a.plain', 'some words', '--ephemeral');
  assert.equal(ephemeral.code, 0, ephemeral.stderr);
  assert.match(ephemeral.stderr, /next start/);
  assert.equal(await own.value('a.plain'), 'some words');
  assert.match((await flags('unset', 'cache.ttl_seconds')).stdout, /^value +300$/m);
  const held = await flags('set', 'auth.enable_2fa', 'false');
  assert.notEqual(held.code, 0);
  assert.match(held.stderr, /FLAG_AUTH_ENABLE_2FA/);
  assert.equal((await flags('reload')).code, 0);
  assert.notEqual((await flags('get', 'no.such')).code, 0);
}));

// ---- under load

// Every file says one number in all its flags: an answer with two numbers mixes two files.
test('reloads under load: no decision fails and no answer mixes two files', () => withServer({ flags: { generation: 0 } }, async (own) => {
  const KEYS = 40;
  const fileOf = (n) => Object.fromEntries(Array.from({ length: KEYS }, (_, i) => [`g.k${i}`, n]));
  own.write(fileOf(0));
  await until('the first file', async () => await own.value('g.k0') === 0);
  const load = new Decider(own, own.issuer.mint());
  let stopped = false;
  let last = 0;
  const seen = new Set();
  const reader = async () => {
    const http = await own.http();
    let newest = 0;
    while (!stopped) {
      const { status, json } = await http.request('GET', '/flags', { headers: own.bearer('viewer') });
      assert.equal(status, 200);
      const values = new Set(Object.entries(json.flags).filter(([key]) => key.startsWith('g.k')).map(([, flag]) => flag.value));
      assert.equal(values.size, 1, `one answer holds ${[...values]}`);
      const [value] = values;
      assert.ok(value >= newest && value <= last, `${value} after ${newest}`);
      newest = value;
      seen.add(value);
    }
    http.close();
  };
  // The same of decisions: the flags that come with one are of one file.
  const asked = Array.from({ length: KEYS }, (_, i) => `g.k${i}`);
  let decisions = 0;
  const decider = async () => {
    const token = own.issuer.mint();
    while (!stopped) {
      const { status, json } = await own.check({ token, flags: asked });
      assert.equal(status, 200);
      assert.equal(json.allow, true);
      assert.equal(Object.keys(json.flags).length, KEYS);
      assert.equal(new Set(Object.values(json.flags)).size, 1, JSON.stringify(json.flags));
      decisions++;
    }
  };
  const readers = [reader(), reader(), decider(), decider()];
  for (let n = 1; n <= 60; n++) {
    last = n;
    own.write(n % 7 === 3 ? '{"half": ' : fileOf(n));
    const { status } = await own.reload();
    assert.equal(status, n % 7 === 3 ? 400 : 200);
    if (n % 7 !== 3) assert.equal(await own.value(`g.k${n % KEYS}`), n, 'what was answered is visible');
    if (n % 10 === 0) assert.equal((await own.flag('POST', 'noise', { body: { value: n } })).status, 200);
  }
  stopped = true;
  await Promise.all(readers);
  await load.stop();
  assert.deepEqual(load.errors, []);
  assert.deepEqual(Object.keys(load.statuses), ['200']);
  assert.ok(decisions > 10, `${decisions} decisions with flags`);
  assert.ok(load.total > 100 && seen.size > 10, `${load.total} decisions, ${seen.size} files seen`);
}));
