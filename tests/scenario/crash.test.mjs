// SPDX-License-Identifier: Apache-2.0
// kill -9 under load, again and again on one data directory: every revocation that was ever
// acknowledged is refused after every recovery, and the journal verifies offline.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Revoker, missing } from './lib/load.mjs';
import { cli, FULL, LABEL, Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

const KILLS = FULL ? 150 : LABEL === 'release' ? 50 : 10;
const PER_ROUND = 200; // acknowledged at least, before the kill

test(`nothing acknowledged is lost over ${KILLS} kills under load`, { timeout: 600_000 }, async () => {
  const server = new Server({ config: { journal: { segment: '1MiB', snapshot_bytes: '2MiB' } } });
  const acknowledged = [];
  const undone = [];
  try {
    for (let round = 0; round < KILLS; round++) {
      await server.start();
      // All of the last round, and a sample of everything before.
      const step = 1 + Math.floor(acknowledged.length / 3000);
      const sample = acknowledged.filter((_, i) => i % step === round % step || i > acknowledged.length - 3 * PER_ROUND);
      assert.deepEqual(await missing(server, sample), [], `after kill ${round}`);
      assert.equal((await missing(server, undone)).length, undone.length, 'what was un-revoked stays so');
      const load = new Revoker(server, { connections: 4 });
      const enough = PER_ROUND + (round * 37) % 400; // another phase of the journal every time
      await until('acknowledgements', () => load.acknowledged.length >= enough);
      if (round % 5 === 0) {
        const id = load.acknowledged[0];
        const answer = await server.unrevoke({ kind: 'token', id });
        if (answer.status === 200) {
          undone.push(id);
          load.acknowledged.shift();
        }
      }
      await server.kill();
      await load.stop();
      acknowledged.push(...load.acknowledged.filter((id) => !undone.includes(id)));
    }
    const verdict = await cli(['journal', 'verify'], { env: { PORTCULLIS_DATA_DIR: server.dataDir } });
    assert.equal(verdict.code, 0, verdict.stdout + verdict.stderr);
    await server.start();
    assert.deepEqual(await missing(server, acknowledged), []);
    console.log(`# ${KILLS} kills, ${acknowledged.length} acknowledged, none lost`);
  } finally {
    await server.stop();
  }
});

test('a crash during the shutdown of a loaded server loses nothing', { timeout: 300_000 }, async () => {
  const server = new Server();
  const acknowledged = [];
  try {
    for (let round = 0; round < 5; round++) {
      await server.start();
      assert.deepEqual(await missing(server, acknowledged), []);
      const load = new Revoker(server);
      await until('acknowledgements', () => load.acknowledged.length >= PER_ROUND);
      server.signal('SIGTERM');
      await until('the shutdown to begin', () => /shutdown|stopping|draining/.test(server.log) || server.gone);
      if (!server.gone) await server.kill();
      await load.stop();
      acknowledged.push(...load.acknowledged);
    }
    await server.start();
    assert.deepEqual(await missing(server, acknowledged), []);
  } finally {
    await server.stop();
  }
});
