// SPDX-License-Identifier: Apache-2.0
// The visibility oracle: a request whose first byte is sent after the answer to a revoke was read
// is refused, on every core, listener and protocol, under load, while tables are rebuilt and
// snapshots are written. Decisions already in flight may complete either way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FULL, LABEL, Server } from './lib/server.mjs';
import { Revoker } from './lib/load.mjs';
import { Http, Resp } from './lib/wire.mjs';

const ROUNDS = FULL ? 2000 : LABEL === 'release' ? 400 : 120;
const WATCHERS = 16; // more than cores, so that every core has some

// Probes one identity on one connection: true = refused.
function httpProbe(http) {
  return async ({ token }) => {
    const { status, json } = await http.request('GET', '/v1/auth', { headers: { Authorization: `Bearer ${token}` } }).then(
      (answer) => ({ status: answer.status, json: answer.status === 401 ? answer.json : null }));
    if (status !== 200 && status !== 401) throw new Error(`status ${status}`);
    return status === 401 && /_REVOKED$/.test(json.error.code);
  };
}
function checkProbe(http, server) {
  return async ({ token }) => (await http.request('POST', '/v1/check', { headers: server.bearer('gateway'), body: { token } })).json.code.endsWith('_REVOKED');
}
const respProbe = (resp) => async ({ jti }) => await resp.command('EXISTS', `bl:${jti}`) === 1;
const respCheckProbe = (resp) => async ({ token }) => JSON.parse(await resp.command('PC.CHECK', JSON.stringify({ token }))).code.endsWith('_REVOKED');

async function watchers(server) {
  const all = [];
  for (let i = 0; i < WATCHERS; i++) {
    const unix = i % 2 ? '-unix' : '';
    if (i % 4 === 0) all.push({ by: 'http auth', probe: httpProbe(await Http.open(server.address(`http${unix}`))) });
    if (i % 4 === 1) all.push({ by: 'resp exists', probe: respProbe(await server.resp(`resp${unix}`)) });
    if (i % 4 === 2) all.push({ by: 'http check', probe: checkProbe(await Http.open(server.address(`http${unix}`)), server) });
    if (i % 4 === 3) all.push({ by: 'resp check', probe: respCheckProbe(await server.resp(`resp${unix}`)) });
  }
  return all;
}

const MUTATIONS = [
  async (server, resp, http, { jti }) => (await resp.command('SET', `bl:${jti}`, '1', 'EX', '600')) === 'OK',
  async (server, resp, http, { jti }) => (await http.request('POST', '/v1/revoke', { headers: server.bearer('operator'), body: { kind: 'token', id: jti, ttl: 600 } })).status === 200,
  async (server, resp, http, { token }) => (await http.request('POST', '/v1/revoke', { headers: server.bearer('operator'), body: { token } })).status === 200,
  async (server, resp, http, { jti }) => (await resp.command('PC.REVOKE', 'token', jti, 'TTL', '600')) === 'OK',
];

// One round: who still allowed a token after its revocation was acknowledged.
async function oracle(server, eyes, mutate) {
  const claims = server.issuer.claims();
  const subject = { jti: claims.jti, token: server.issuer.sign(claims) };
  // Warm: every cache knows the token as good, so that a stale one would be seen.
  for (const { by, probe } of eyes) assert.equal(await probe(subject), false, `${by} before`);
  // Some probes are in flight while the revocation is made; their verdict is free.
  const racing = eyes.slice(0, 4).map(({ probe }) => probe(subject));
  const acknowledged = mutate(subject);
  // An answer of a racing probe must not hold back the others.
  const after = eyes.slice(4).map(async ({ by, probe }) => ((await acknowledged) && !(await probe(subject)) ? [by] : []));
  await Promise.all(racing);
  assert.ok(await acknowledged);
  const rest = eyes.slice(0, 4).map(async ({ by, probe }) => (await probe(subject) ? [] : [by]));
  return (await Promise.all([...after, ...rest])).flat();
}

test(`what was acknowledged is refused everywhere at once (${ROUNDS} rounds under load)`, { timeout: 600_000 }, async () => {
  const server = await Server.start({ config: { journal: { segment: '1MiB', snapshot_bytes: '1MiB' } } });
  try {
    const load = new Revoker(server, { connections: 4 });
    const eyes = await watchers(server);
    const resp = await server.resp();
    const http = await server.http();
    for (let round = 0; round < ROUNDS; round++) {
      const mutate = MUTATIONS[round % MUTATIONS.length];
      assert.deepEqual(await oracle(server, eyes, (subject) => mutate(server, resp, http, subject)), [], `round ${round}`);
    }
    await load.stop();
    console.log(`# ${ROUNDS} rounds, ${load.acknowledged.length} other revocations meanwhile`);
  } finally {
    await server.stop();
  }
});

test('every kind is visible everywhere at once', { timeout: 300_000 }, async () => {
  const server = await Server.start();
  try {
    const eyes = (await watchers(server)).filter(({ by }) => by !== 'resp exists');
    const http = await server.http();
    for (const [i, kind] of ['session', 'family', 'subject', 'client'].entries()) {
      for (let round = 0; round < 20; round++) {
        const id = `all-${i}-${round}`;
        const claim = { session: 'sid', family: 'fam', subject: 'sub', client: 'client_id' }[kind];
        const token = server.issuer.mint({ [claim]: id });
        for (const { probe } of eyes) assert.equal(await probe({ token }), false);
        const answer = await http.request('POST', '/v1/revoke', { headers: server.bearer('operator'), body: { kind, id } });
        assert.equal(answer.status, 200, answer.body);
        const seen = await Promise.all(eyes.map(({ probe }) => probe({ token })));
        assert.deepEqual(new Set(seen), new Set([true]), kind);
      }
    }
  } finally {
    await server.stop();
  }
});

// A canary: a server that answers before it has revoked. The same oracle must catch it.
test('the oracle catches an acknowledgement that comes too early', async () => {
  const server = await Server.start();
  try {
    const eyes = await watchers(server);
    const seen = await oracle(server, eyes, async () => true);
    assert.equal(seen.length, eyes.length);
  } finally {
    await server.stop();
  }
});

test('connections spread over the cores, also after many closes and reopens', async () => {
  const server = await Server.start();
  try {
    const LIVE = 64;
    const loads = async () => {
      const { body } = await server.get('/metrics', { headers: server.bearer('admin') });
      return [...body.matchAll(/^portcullis_core_connections_open\{core="\d+"\} (\d+)/gm)].map((m) => Number(m[1]));
    };
    const base = await loads();
    const open = await Promise.all(Array.from({ length: LIVE }, () => Http.open(server.address('http'))));
    await Promise.all(open.map((http) => http.request('GET', '/health')));
    for (let i = 0; i < 1000; i++) {
      const at = (i * 7919) % LIVE;
      open[at].close();
      open[at] = await Http.open(server.address('http'));
      await open[at].request('GET', '/health');
    }
    const { until } = await import('./lib/wait.mjs');
    const mean = LIVE / base.length;
    const own = await until('the closed connections to be gone', async () => {
      const now = (await loads()).map((n, i) => n - base[i]);
      return now.reduce((a, b) => a + b, 0) <= LIVE + 2 ? now : null;
    });
    assert.ok(Math.max(...own) <= 1.25 * mean + 1, `${own}`);
    for (const http of open) http.close();
  } finally {
    await server.stop();
  }
});
