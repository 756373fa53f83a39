// SPDX-License-Identifier: Apache-2.0
// The shipped workloads of portcullis-load against a real server with the configuration shipped
// beside them: every answer is right. And canaries: servers that allow what they must not are
// reported as such, loudly and with exit status 3.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BIN, run, scratch, Server } from './lib/server.mjs';

const WORKLOADS = fileURLToPath(new URL('../../tools/load/workloads', import.meta.url));
const SHIPPED = fs.readdirSync(WORKLOADS).filter((file) => file !== 'server.yaml').map((file) => path.basename(file, '.yaml'));

let server;
let dir;
let keyFile;
let adminFile;

// The shipped server.yaml with ports the kernel chooses, and an issuer and administrators of ours.
// JSON is YAML.
function shippedConfig() {
  const ours = {
    data_dir: server.dataDir,
    cores: 2,
    issuers: server.issuers.map((one) => one.config({})),
    admin: server.config.admin,
    limits: server.config.limits,
    ...(server.config.io_uring && { io_uring: server.config.io_uring }),
  };
  const lines = Object.entries(ours).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `${fs.readFileSync(path.join(WORKLOADS, 'server.yaml'), 'utf8').replaceAll(/:\d+"/g, ':0"')}\n${lines.join('\n')}\n`;
}

before(async () => {
  dir = scratch('workloads');
  server = new Server();
  server.writeConfig(shippedConfig());
  await server.start();
  const { kid, private: key } = server.issuer.keys[0];
  keyFile = path.join(dir, 'issuer.jwk');
  fs.writeFileSync(keyFile, JSON.stringify({ ...key.export({ format: 'jwk' }), kid }), { mode: 0o600 });
  adminFile = path.join(dir, 'admin.token');
  fs.writeFileSync(adminFile, server.tokens.operator, { mode: 0o600 });
});
after(() => server?.stop());

async function load(workload, address, more = []) {
  const json = path.join(dir, `${path.basename(workload)}.json`);
  fs.rmSync(json, { force: true });
  const done = await run(path.join(BIN, 'portcullis-load'), [
    'run', '--workload', workload, '--url', `http://${address}`, '--key', keyFile, '--issuer', server.issuer.name,
    '--admin-token-file', adminFile, '--duration', '500ms', '--warmup', '200ms', '--timeout', '60s', '--json', json, ...more]);
  return { ...done, report: fs.existsSync(json) ? JSON.parse(fs.readFileSync(json, 'utf8')) : null };
}

for (const name of SHIPPED) {
  test(`the workload ${name} finds nothing wrong with a server that is right`, async () => {
    const { code, stderr, report } = await load(name, server.address('http'), name === 'mixed' ? ['--rate', '2000'] : []);
    assert.equal(code, 0, stderr);
    assert.equal(report.wrong_answers, 0);
    assert.ok(report.requests > 0);
    assert.equal(report.workload.name, name);
    for (const [asked, { allowed, refused }] of Object.entries(report.workload.requests)) {
      assert.ok(allowed + refused > 0, `${asked} was never asked`);
    }
  });
}

test('a revocation is timed on every connection', async () => {
  const { report, stderr } = await load('revoke-storm', server.address('http'), ['--connections', '5']);
  const of = (name) => report.classes.find((one) => one.name === name);
  assert.equal(report.wrong_answers, 0, stderr);
  assert.ok(of('revoke').requests > 0);
  assert.ok(of('revocation-seen').requests >= of('revocation-seen-everywhere').requests);
  assert.ok(of('revocation-seen-everywhere').latency_us.max >= of('revocation-seen').latency_us.p50);
});

test('tokens minted before are used again, and what a file lacks is said', async () => {
  const tokens = path.join(dir, 'good.tokens');
  const minted = await run(path.join(BIN, 'portcullis-load'), [
    'mint', '--key', keyFile, '--issuer', server.issuer.name, '--count', '500', '--out', tokens]);
  assert.equal(minted.code, 0, minted.stderr);
  const good = await load('connections', server.address('http'), ['--tokens', tokens]);
  assert.equal(good.code, 0, good.stderr);
  assert.equal(good.report.workload.tokens.count.good, 500);
  const lacking = await load('auth', server.address('http'), ['--tokens', tokens]);
  assert.equal(lacking.code, 2);
  assert.match(lacking.stderr, /good\.tokens: 'auth' needs tokens that are revoked; there are none/);
});

test('an issuer that the server does not know is told by its name, and how to name another', async () => {
  const { code, stderr } = await load('auth', server.address('http'), ['--issuer', 'https://nobody.example']);
  assert.equal(code, 2);
  assert.match(stderr, /no issuer 'https:\/\/nobody\.example', which the tokens name: .*--issuer .*portcullis-dev/);
});

// ---- Servers that are wrong. ----

const subjectOf = (request) => {
  try {
    const token = request.headers.authorization.slice('Bearer '.length);
    return JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;
  } catch {
    return '';
  }
};

async function withStub(answer, use) {
  const stub = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      const { status = 200, subject = subjectOf(request), body = '{}' } = answer(request);
      response.writeHead(status, { 'X-Portcullis-Subject': subject, 'Content-Length': Buffer.byteLength(body) });
      response.end(body);
    });
  });
  await new Promise((resolve) => { stub.listen(0, '127.0.0.1', resolve); });
  try {
    await use(`127.0.0.1:${stub.address().port}`);
  } finally {
    stub.closeAllConnections();
    await new Promise((resolve) => { stub.close(resolve); });
  }
}

async function assertWrongAllow(workload, answer, words) {
  await withStub(answer, async (address) => {
    const { code, stderr, report } = await load(workload, address);
    assert.equal(code, 3, stderr);
    assert.ok(report.wrong_allows > 0, stderr);
    assert.match(stderr, words);
  });
}

test('a server that allows every token is reported', () => assertWrongAllow(
  'auth', () => ({}), /allowed the token of user-\d+, which is (revoked|expired|malformed|unknown|bad|not)/));

test('a server that mixes answers up is reported', () => assertWrongAllow(
  'connections', () => ({ subject: 'user-99999999' }), /allowed as 'user-99999999'; asked about 'user-\d+'/));

test('a server that acknowledges revocations and goes on allowing is reported', () => assertWrongAllow(
  'revoke-storm', () => ({}), /revoked: sent after the acknowledgement/));

test('a server that lets more pass than the limit admits is reported', () => assertWrongAllow(
  'limits', (request) => ({
    body: JSON.stringify({
      allow: true, code: 'OK', key: request.url.split('/').at(-1), policy: 'load_key', limit: 20, remaining: 19, reset_ms: 1, retry_after_ms: 0,
    }),
  }), /limit load_key, key number \d+: allowed \d+ times; by now \d+/));

test('a file that is wrong is refused with its line', async () => {
  const file = path.join(dir, 'wrong.yaml');
  fs.writeFileSync(file, 'name: wrong\ndescription: x\nrequests:\n  - name: a\n    ask: auth\n    wieght: 1\n');
  const { code, stderr } = await load(file, server.address('http'));
  assert.equal(code, 2);
  assert.match(stderr, /wrong\.yaml:6: requests: there is no key 'wieght'/);
});
