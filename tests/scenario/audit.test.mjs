// SPDX-License-Identifier: Apache-2.0
// The audit: audit.jsonl says who did what, `portcullis audit verify` finds what somebody did to
// it, also beside a running server; failed credentials are limited and audited; every
// administrative call has its log line.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';
import { once } from './lib/wire.mjs';

const ZEROS = '0'.repeat(64);
const FILE = 'audit.jsonl';

const fileOf = (server) => path.join(server.dataDir, FILE);
const olderOf = (server) => fs.readdirSync(server.dataDir).filter((name) => /^audit\.\d{20}\.jsonl$/.test(name)).sort();
const linesIn = (file) => fs.readFileSync(file, 'utf8').split('\n').slice(0, -1);
const audit = (server) => (fs.existsSync(fileOf(server)) ? linesIn(fileOf(server)).map((line) => JSON.parse(line)) : []);
const logged = (server, event) => server.log.split('\n').filter((line) => line.includes(`"event":"${event}"`)).map((line) => JSON.parse(line));
const verify = (server, args = []) => server.cli(['audit', 'verify', server.dataDir, ...args]);
const call = (server, method, pathName, { role = 'admin', body, headers = {} } = {}) =>
  once(server.address('http'), method, pathName, { body, headers: { ...(role ? server.bearer(role) : {}), ...headers } });
const line = (server, requestId) => until(`the audit line of ${requestId}`, () => audit(server).find((one) => one.request_id === requestId));

async function assertWhole(server, args) {
  const verdict = await verify(server, args);
  assert.equal(verdict.code, 0, verdict.stdout + verdict.stderr);
  return verdict.stdout;
}

let server;
before(async () => { server = await Server.start(); });
after(() => server?.stop());

test('every call that changes something has one line: who, what, from where, in which request, why', async () => {
  const ask = async (id, method, pathName, body, role) => {
    const answer = await call(server, method, pathName, { body, role, headers: { 'X-Request-ID': id } });
    assert.equal(answer.status, 200, `${method} ${pathName}: ${answer.body}`);
    const one = await line(server, id);
    assert.equal(one.source, '127.0.0.1');
    assert.equal(one.actor, `token:test-${role}`);
    return one;
  };
  const revoked = await ask('a-1', 'POST', '/v1/revoke', { kind: 'token', id: 'lost', reason: 'stolen', ttl: 60 }, 'operator');
  assert.equal(revoked.reason, 'stolen');
  assert.equal(revoked.changes.length, 1);
  const { expires_at: expires, ...change } = revoked.changes[0];
  assert.deepEqual(change, { op: 'revoke', kind: 'token', issuer: server.issuer.name, id: 'lost' });
  assert.ok(Math.abs(expires - Date.now() / 1000 - 60) < 30);

  const many = Array.from({ length: 30 }, (_, i) => ({ kind: 'token', id: `many-${i}`, reason: i === 7 ? 'another' : 'same' }));
  const batch = await ask('a-2', 'POST', '/v1/revoke', many, 'operator');
  assert.equal(batch.changes.length, 30);
  assert.equal(batch.last - batch.first, 29);
  assert.equal(batch.reason, 'same');
  assert.deepEqual(batch.changes.filter((one) => one.reason).map((one) => [one.id, one.reason]), [['many-7', 'another']]);

  const cleared = await ask('a-3', 'DELETE', '/v1/revoke', { kind: 'token', id: 'lost' }, 'operator');
  assert.equal(cleared.changes[0].op, 'clear');
  const flag = await ask('a-4', 'POST', '/flags/cache.ttl_seconds', { value: 60 }, 'operator');
  assert.deepEqual(flag.changes, [{ op: 'set', kind: 'flag', id: 'cache.ttl_seconds', value: 60 }]);
  for (const [id, pathName, action] of [['a-5', '/admin/reload', 'reload'], ['a-6', '/admin/snapshot', 'snapshot'],
    ['a-7', '/admin/clock/confirm', 'clock_confirm'], ['a-8', '/admin/flags/reload', 'flags_reload']]) {
    const one = await ask(id, 'POST', pathName, undefined, 'admin');
    assert.deepEqual(one.changes, [{ op: 'note', kind: 'admin', id: action, value: { status: 200 } }]);
  }
  const reset = await ask('a-10', 'DELETE', '/v1/limits/ip/192.0.2.7', undefined, 'operator');
  assert.deepEqual([reset.changes[0].id, reset.changes[0].value.policy], ['limit_reset', 'ip']);
  const refused = await call(server, 'POST', '/admin/reload', { role: 'operator', headers: { 'X-Request-ID': 'a-9' } });
  assert.equal(refused.status, 403);
  await assertWhole(server);
  assert.ok(!audit(server).some((one) => one.request_id === 'a-9'), 'nothing was done');
});

test('commands of RESP share a line as far as they came together', async () => {
  const resp = await server.resp();
  assert.deepEqual(await resp.pipeline(Array.from({ length: 20 }, (_, i) => ['SET', `bl:resp-${i}`, '1', 'EX', '60'])), Array(20).fill('OK'));
  resp.close();
  const found = await until('their lines', () => {
    const lines = audit(server).filter((one) => one.changes?.some((change) => change.id.startsWith('resp-')));
    return lines.flatMap((one) => one.changes).length === 20 && lines;
  });
  assert.ok(found.every((one) => !one.request_id && one.actor === 'token:test-operator'));
  await assertWhole(server);
});

test('each line names the hash of the one before, from zeros on', () => {
  let prev = ZEROS;
  for (const text of linesIn(fileOf(server))) {
    assert.equal(JSON.parse(text).prev, prev);
    prev = createHash('sha256').update(text).digest('hex');
  }
  assert.match(server.log, /"event":"ready"/);
});

test('health, metrics and tail tell how the audit is', async () => {
  const health = await until('the audit to be up to date', async () => {
    const { json } = await server.get('/health');
    return json.audit.behind === 0 && json;
  });
  assert.equal(health.audit.state, 'ok');
  const count = linesIn(fileOf(server)).length;
  await until('the metric', async () => (await server.get('/metrics')).body.includes(`\nportcullis_audit_lines_total ${count}\n`));
  const { stdout, code } = await server.cli(['audit', 'tail', server.dataDir, '--lines', '3']);
  assert.equal(code, 0);
  assert.deepEqual(stdout.trim().split('\n'), linesIn(fileOf(server)).slice(-3));
});

test('every administrative call is logged, refused ones too, with method, path, status, duration, user and role; routine is not', async () => {
  const ask = async (id, status, method, pathName, options) => {
    const answer = await call(server, method, pathName, { ...options, headers: { 'X-Request-ID': id } });
    assert.equal(answer.status, status);
    return until(`the log line of ${id}`, () => logged(server, 'admin_call').find((one) => one.request_id === id));
  };
  const routine = await call(server, 'GET', '/flags/cache.ttl_seconds', { role: 'viewer', headers: { 'X-Request-ID': 'l-0' } });
  assert.equal(routine.status, 200);
  const good = await ask('l-1', 200, 'GET', '/admin/ip-rules', { role: 'viewer' });
  assert.deepEqual([good.method, good.path, good.status, good.user, good.role], ['GET', '/admin/ip-rules', 200, 'token:test-viewer', 'viewer']);
  assert.equal(typeof good.duration_ms, 'number');
  const forbidden = await ask('l-2', 403, 'POST', '/flags/cache.ttl_seconds', { role: 'viewer', body: { value: 1 } });
  assert.deepEqual([forbidden.status, forbidden.role], [403, 'viewer']);
  const stranger = await ask('l-3', 401, 'POST', '/admin/reload', { role: null });
  assert.deepEqual([stranger.status, stranger.user, stranger.role], [401, '', '']);
  const long = await ask('l-4', 401, 'GET', `/flags/${'x'.repeat(500)}`, { role: null });
  assert.ok(long.path.length <= 200);
  assert.equal(logged(server, 'admin_call').find((one) => one.request_id === 'l-0'), undefined);
});

test('a viewer reads and changes nothing; RESP too', async () => {
  assert.equal((await call(server, 'GET', '/flags', { role: 'viewer' })).status, 200);
  assert.equal((await call(server, 'POST', '/v1/revoke', { role: 'viewer', body: { kind: 'token', id: 'x' } })).status, 403);
  const resp = await server.resp('resp', 'viewer');
  assert.equal(await resp.command('EXISTS', 'bl:nobody'), 0);
  assert.match(String(await resp.command('SET', 'bl:nobody', '1', 'EX', '5')), /NOPERM role viewer may only read/);
  resp.close();
});

test('a changed line is found beside the running server, and after it', async (t) => {
  const own = await Server.start();
  t.after(() => own.stop());
  for (let i = 0; i < 5; i++) assert.equal((await own.revoke({ kind: 'token', id: `mine-${i}` })).status, 200);
  await until('five lines', () => audit(own).length === 5);
  const original = fs.readFileSync(fileOf(own), 'utf8');
  fs.writeFileSync(fileOf(own), original.replace('mine-2', 'mine-9'));
  const running = await verify(own);
  assert.equal(running.code, 1);
  assert.match(running.stdout, /^audit\.jsonl:3: it was changed/m);
  assert.match(running.stdout, /^audit\.jsonl:4: it does not follow from audit\.jsonl:3/m);
  // The last line has none behind it: the journal tells.
  fs.writeFileSync(fileOf(own), original.replace('mine-4', 'mine-9'));
  const end = await verify(own);
  assert.equal(end.code, 1);
  assert.match(end.stdout, /^audit\.jsonl:5: it was changed/m);
  await own.stop();
  const edits = {
    'a line removed': (text) => text.split('\n').filter((_, i) => i !== 2).join('\n'),
    'the end cut off': (text) => `${text.split('\n').slice(0, 3).join('\n')}\n`,
    'cut in a line': (text) => text.slice(0, -100),
    'everything gone': () => '',
    'a line doubled': (text) => text.split('\n').flatMap((one, i) => (i === 1 ? [one, one] : [one])).join('\n'),
  };
  for (const [what, edit] of Object.entries(edits)) {
    fs.writeFileSync(fileOf(own), edit(original));
    const verdict = await verify(own);
    assert.equal(verdict.code, 1, `${what}: ${verdict.stdout}`);
    assert.match(verdict.stdout, /^audit\.jsonl(:\d+)?: /m, what);
  }
  fs.writeFileSync(fileOf(own), original);
  await assertWhole(own);
});

test('a start goes on behind a kill, and cuts what was torn', async (t) => {
  const own = await Server.start({ config: { journal: { segment: '64KiB' } } });
  t.after(() => own.stop());
  for (let round = 0; round < 4; round++) {
    const batches = Array.from({ length: 10 }, (_, b) => own.revoke(Array.from({ length: 50 }, (_, i) => ({ kind: 'token', id: `r${round}-${b}-${i}` }))));
    for (const answer of await Promise.all(batches)) assert.equal(answer.status, 200);
    await own.kill();
    if (round === 2) fs.appendFileSync(fileOf(own), '{"v":1,"time":"torn');
    await own.start();
    if (round === 2) await until('the log to tell', () => logged(own, 'audit_cut').length > 0); // before a kill takes it
  }
  await until('all lines', () => audit(own).flatMap((one) => one.changes).filter((one) => one.kind === 'token').length === 2000);
  await assertWhole(own);
});

test('full files get a name, the chain goes on, and older ones may be moved away', async (t) => {
  const own = await Server.start({ config: { audit: { file_bytes: '64KiB' } } });
  t.after(() => own.stop());
  for (let i = 0; i < 40; i++) {
    const body = Array.from({ length: 100 }, (_, k) => ({ kind: 'token', id: `rotated-${i}-${k}` }));
    assert.equal((await own.revoke(body)).status, 200);
  }
  await until('older files', () => olderOf(own).length >= 3);
  await until('the last line', () => audit(own).some((one) => one.changes.some((change) => change.id === 'rotated-39-99')) || olderOf(own).some((name) => fs.readFileSync(path.join(own.dataDir, name), 'utf8').includes('"rotated-39-99"')));
  const before = olderOf(own);
  assert.match(await assertWhole(own), new RegExp(`^${before.length + 1} files`));
  await own.restart();
  await assertWhole(own);
  const last = linesIn(path.join(own.dataDir, before[0])).at(-1);
  fs.rmSync(path.join(own.dataDir, before[0]));
  const partial = await verify(own);
  assert.equal(partial.code, 1);
  assert.match(partial.stdout, /does not begin here/);
  await own.stop();
  // What was moved away cannot be compared with the journal, which still has it here.
  const known = await verify(own, ['--prev', createHash('sha256').update(last).digest('hex')]);
  assert.doesNotMatch(known.stdout, /does not begin here/);
});

test('what was not derived while the audit was off is a gap that says so', async (t) => {
  const own = new Server({ config: { audit: { enabled: false }, journal: { segment: '16KiB', outbox_max: '64KiB', snapshot_bytes: '16KiB' } } });
  t.after(() => own.stop());
  await own.start();
  assert.equal((await own.get('/health')).json.audit.state, 'off');
  const revoke = (id) => own.revoke(Array.from({ length: 40 }, (_, i) => ({ kind: 'token', id: `${id}-${i}` })));
  for (let i = 0; i < 40; i++) {
    await until(`room for batch ${i}`, async () => (await revoke(`off-${i}`)).status === 200);
  }
  assert.ok(!fs.existsSync(fileOf(own)));
  own.config.audit.enabled = true;
  own.writeConfig();
  await own.restart();
  assert.equal((await revoke('on')).status, 200);
  await until('its line', () => audit(own).some((one) => one.changes?.some((change) => change.id === 'on-0')));
  assert.match(audit(own)[0].gap, /the audit was off/);
  assert.match(await assertWhole(own), / 1 gaps, 0 problems/);
});

test('a disk that takes no audit stops nothing until the journal is full, and everybody is told', async (t) => {
  const own = new Server({ config: { journal: { segment: '16KiB', outbox_max: '96KiB', snapshot_bytes: '16KiB' } } });
  t.after(() => own.stop());
  fs.mkdirSync(fileOf(own), { recursive: true, mode: 0o700 });
  fs.chmodSync(own.dataDir, 0o700);
  await own.start();
  const failing = await until('health to tell', async () => {
    const { json } = await own.get('/health');
    return json.audit.state === 'failing' && json;
  });
  assert.match(failing.audit.message, /audit\.jsonl/);
  await until('the log to tell', () => logged(own, 'audit_failed').length > 0);
  const revoke = (id) => own.revoke(Array.from({ length: 40 }, (_, i) => ({ kind: 'token', id: `${id}-${i}` })));
  assert.equal((await revoke('first')).status, 200);
  let accepted = 1;
  const full = await until('the journal to be full', async () => {
    const answer = await revoke(`fill-${accepted}`);
    if (answer.status === 200) accepted++;
    return answer.status !== 200 && answer;
  });
  assert.deepEqual([full.status, full.json.error.code], [503, 'JOURNAL_FULL']);
  assert.match((await own.get('/metrics')).body, /^portcullis_audit_failing 1$/m);
  // What needs no journal is done all the same, and says that it was not audited.
  const confirmed = await call(own, 'POST', '/admin/clock/confirm');
  assert.deepEqual([confirmed.status, confirmed.json], [200, { done: true, audited: false }]);
  await until('the log to tell that', () => logged(own, 'not_audited').some((one) => one.action === 'clock_confirm'));
  fs.rmdirSync(fileOf(own));
  await until('room again', async () => (await revoke('again')).status === 200);
  await until('the audit to catch up', async () => (await own.get('/health')).json.audit.behind === 0);
  const ids = new Set(audit(own).flatMap((one) => one.changes ?? []).map((change) => change.id));
  for (let i = 1; i < accepted; i++) assert.ok(ids.has(`fill-${i}-39`), `fill-${i}`);
  await assertWhole(own);
  assert.equal((await own.get('/health')).json.audit.state, 'ok');
});

test('wrong credentials are limited per client, over HTTP and RESP, logged and audited, and never shown', async (t) => {
  const own = new Server({ config: { admin: { failed_credentials: '3/2s' } } });
  t.after(() => own.stop());
  const chosen = 'a secret that somebody made up, not random';
  own.config.admin.token_file = `${own.dir}/chosen.token`;
  fs.writeFileSync(own.config.admin.token_file, chosen, { mode: 0o600 });
  own.writeConfig();
  await own.start();
  const secret = `pcadm_${'0'.repeat(16)}_${'5ec2e7'.repeat(10)}abcd`;
  const guess = () => call(own, 'POST', '/v1/revoke', { role: null, body: { kind: 'token', id: 'x' }, headers: { Authorization: `Bearer ${secret}` } });
  const answers = [];
  await until('the limit', async () => {
    answers.push(await guess());
    return answers.at(-1).status === 429;
  });
  const limited = answers.at(-1);
  assert.ok(answers.length >= 4, 'three are judged');
  assert.ok(answers.slice(0, 3).every((one) => one.status === 401));
  assert.equal(limited.json.error.code, 'TOO_MANY_FAILED_CREDENTIALS');
  assert.ok(Number(limited.headers['retry-after']) >= 1);
  // Nothing that can be guessed is judged, so that a right guess is not told from a wrong one.
  const choose = () => call(own, 'GET', '/flags', { role: null, headers: { Authorization: `Bearer ${chosen}` } });
  await until('the right one to be refused too', async () => (await guess()).status === 429 && (await choose()).status === 429);
  // Nobody locks out those whose token is random, on any protocol: they may have to revoke.
  await until('them to be heard nevertheless', async () => (await guess()).status === 429
    && (await own.revoke({ kind: 'session', id: 'urgent', ttl: 5 })).status === 200
    && (await own.resp('resp', 'gateway')).close() === undefined && (await guess()).status === 429);
  // Decisions and calls without a credential go on.
  assert.equal((await own.auth(own.issuer.mint({ sub: 'alice' }))).status, 200);
  assert.equal((await call(own, 'GET', '/flags', { role: null })).status, 401);
  const resp = await own.resp('resp', null);
  const auth = async (password) => String(await resp.command('AUTH', password));
  await until('RESP to be limited', async () => /TOO_MANY_FAILED_CREDENTIALS/.test(await auth(secret)));
  // It passes by itself.
  await until('the administrator to be let in again', async () => (await choose()).status === 200);
  resp.close();
  const notes = await until('the notes', () => {
    const found = audit(own).filter((one) => one.changes.some((change) => change.id === 'credential_refused'));
    return found.length >= 3 && found;
  });
  assert.ok(notes.every((one) => one.actor === '' && one.source === '127.0.0.1'));
  assert.ok(notes.some((one) => one.changes[0].value.protocol === 'http'));
  await until('the log lines', () => logged(own, 'credential_refused').length >= 3);
  const metrics = (await own.get('/metrics')).body;
  for (const outcome of ['accepted', 'refused', 'limited']) assert.match(metrics, new RegExp(`portcullis_credentials_total\\{outcome="${outcome}"\\} [1-9]`));
  assert.ok(!own.log.includes('5ec2e7') && !fs.readFileSync(fileOf(own), 'utf8').includes('5ec2e7'));
  await assertWhole(own);
});

test('a flood of wrong credentials does not fill the journal', async (t) => {
  const own = await Server.start();
  t.after(() => own.stop());
  const http = await own.http();
  const forged = { Authorization: `Bearer pcadm_${'0'.repeat(16)}_${'0'.repeat(64)}` };
  const started = performance.now();
  for (let i = 0; i < 400; i++) assert.equal((await http.request('GET', '/flags', { headers: forged })).status, 401);
  http.close();
  const seconds = (performance.now() - started) / 1000;
  await until('the audit', async () => (await own.get('/health')).json.audit.behind === 0);
  const notes = audit(own).flatMap((one) => one.changes).filter((change) => change.id === 'credential_refused');
  assert.ok(notes.length >= 1 && notes.length <= 5 * (Math.ceil(seconds) + 1), `${notes.length} notes in ${seconds} s`);
});

test('a configuration whose rate is none is refused with its key', async () => {
  const own = new Server({ config: { admin: { failed_credentials: 'often' } } });
  const { code, log } = await own.startRefused();
  assert.notEqual(code, 0);
  assert.match(log, /admin\.failed_credentials/);
});
