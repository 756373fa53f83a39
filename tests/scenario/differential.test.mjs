// SPDX-License-Identifier: Apache-2.0
// The same random commands to the server and to a real redis-server. The documented differences
// are the model here: GET answers the constant, a shorter expiry keeps the longer (so expiries only
// grow in the sequences), SET without expiry has the issuer's maximum.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { FULL, scratch, Server } from './lib/server.mjs';
import { until } from './lib/wait.mjs';
import { Resp, RespError } from './lib/wire.mjs';

const SEQUENCES = FULL ? 200 : 30;
const COMMANDS = 100;
const KEYS = 6;

let server;
let redis;
let redisAddress;
before(async () => {
  server = await Server.start();
  const dir = scratch('redis');
  redisAddress = `unix:${dir}/redis.sock`;
  redis = spawn('redis-server', ['--port', '0', '--unixsocket', `${dir}/redis.sock`, '--save', '', '--appendonly', 'no', '--dir', dir], { stdio: 'ignore' });
  process.on('exit', () => redis.kill('SIGKILL'));
  await until('redis-server', async () => {
    const probe = await Resp.open(redisAddress);
    probe.close();
    return true;
  });
});
after(async () => {
  redis?.kill('SIGTERM');
  await server?.stop();
});

// mulberry32: a sequence is reproduced by its seed.
function random(seed) {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
}

function sequence(seed) {
  const pick = random(seed);
  let expiry = 1000; // grows, see above
  const key = () => `bl:diff-${process.pid}-${seed}-${pick(KEYS)}`;
  const word = (text) => (pick(4) ? text : text.toLowerCase());
  const makers = [
    () => [word('SET'), key(), 'v', word('EX'), expiry],
    () => [word('SET'), key(), '', word('PX'), expiry * 1000],
    () => [word('SET'), key(), 'v', 'EXAT', Math.floor(Date.now() / 1000) + expiry],
    () => ['SET', key(), 'v', 'PXAT', Date.now() + expiry * 1000],
    () => ['SETEX', key(), expiry, 'v'],
    () => ['EXPIRE', key(), expiry],
    () => ['EXISTS', ...Array.from({ length: 1 + pick(4) }, key)],
    () => ['EXISTS', key()],
    () => [word('GET'), key()],
    () => [word('TTL'), key()],
    () => ['PTTL', key()],
    () => ['DEL', ...Array.from({ length: 1 + pick(3) }, key)],
    () => ['DEL', key()],
    () => ['PING'],
    () => ['PING', 'hello'],
    () => ['SELECT', '0'],
    () => ['SET', key(), 'v', 'EX', ['0', '-1', 'x', '', '1.5', ' 1', '+1', '01', '99999999999999999999'][pick(9)]],
    () => ['SET', key(), 'v', ['EX', 'ZZ', 'PX'][pick(3)]],
    () => ['SET', key(), 'v', 'EX', '10', 'PX', '10'],
    () => ['SETEX', key(), ['0', '-5', 'x'][pick(3)], 'v'],
    () => ['EXPIRE', key(), ['x', ''][pick(2)]],
    () => [['SET', 'SETEX', 'GET', 'EXISTS', 'TTL', 'PTTL', 'DEL', 'EXPIRE'][pick(8)]],
    () => ['GET', key(), key()],
    () => ['NOSUCHCOMMAND', 'a', 'b'],
  ];
  return Array.from({ length: COMMANDS }, () => {
    expiry += 10;
    return makers[pick(makers.length)]();
  });
}

// Equal but for what may differ: the value of GET, the moment a remaining time was read, and the
// life of a key that was deleted before (a revocation keeps the longest life its id ever had).
class Comparison {
  constructor() {
    this.deleted = new Set();
  }

  same(command, ours, theirs, where) {
    const name = String(command[0]).toUpperCase();
    const plain = (reply) => (reply instanceof RespError ? `-${reply.message}` : reply);
    const slack = { TTL: 1, PTTL: 2000 }[name];
    if (name === 'DEL') for (const key of command.slice(1)) this.deleted.add(key);
    if (slack && ours > 0 && theirs > 0) {
      const high = this.deleted.has(command[1]) ? Infinity : slack;
      assert.ok(ours - theirs >= -slack && ours - theirs <= high, `${where}: ${command.join(' ')}: ${ours} and ${theirs}`);
    } else if (name === 'GET' && typeof theirs === 'string') {
      assert.equal(ours, '1', where);
    } else {
      assert.deepEqual(plain(ours), plain(theirs), `${where}: ${command.join(' ')}`);
    }
  }
}

test(`${SEQUENCES} random sequences are answered as redis-server answers them`, async () => {
  for (let seed = 1; seed <= SEQUENCES; seed++) {
    const commands = sequence(seed);
    const ours = await server.resp(seed % 2 ? 'resp' : 'resp-unix');
    const theirs = await Resp.open(redisAddress);
    const pipelined = seed % 3 === 0;
    const ask = async (resp) => {
      if (pipelined) return resp.pipeline(commands);
      const replies = [];
      for (const command of commands) replies.push(await resp.command(...command));
      return replies;
    };
    const [a, b] = await Promise.all([ask(ours), ask(theirs)]);
    const compare = new Comparison();
    for (const [i, command] of commands.entries()) {
      compare.same(command, a[i], b[i], `seed ${seed}, command ${i}`);
    }
    ours.close();
    theirs.close();
  }
});

test('the same bytes in odd pieces are answered alike', async () => {
  const commands = sequence(4711);
  const bytes = Buffer.concat(commands.map(Resp.encode));
  const pick = random(99);
  const compare = new Comparison();
  const ours = await server.resp('resp');
  const theirs = await Resp.open(redisAddress);
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, at + 1 + pick(7));
    ours.send(piece);
    theirs.send(piece);
    at += piece.length;
  }
  for (const command of commands) {
    compare.same(command, await ours.reply(), await theirs.reply(), 'in pieces');
  }
  ours.close();
  theirs.close();
});
