// SPDX-License-Identifier: Apache-2.0
// Starts the real edge on ports the kernel chooses, with a data directory of its own, and stops
// exactly the process it started. A server that does not come up is a failure with its log.
//
// The edge writes what it listens on to <data_dir>/listeners.json once it is ready:
//   {"listeners":[{"name":"http","address":"127.0.0.1:43210"}]}
import { execFile, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Issuer } from './issuer.mjs';
import { until, within } from './wait.mjs';
import { Http, once, Resp } from './wire.mjs';

export const BIN = process.env.PC_BIN ?? fileURLToPath(new URL('../../../build/release/bin', import.meta.url));
export const LABEL = process.env.PC_LABEL ?? 'release';
export const FULL = process.env.PC_FULL === '1';
const WRAP = (process.env.PC_WRAP ?? '').split(' ').filter(Boolean);
const CORES = 4; // oversubscribed on purpose: more interleavings
const START_LIMIT_MS = 60_000; // sanitized binaries on a busy machine

const ROLES = ['gateway', 'viewer', 'operator', 'admin'];

// Everything a test left behind goes when the process does, whatever the reason.
const alive = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
  for (const folder of folders) fs.rmSync(folder, { recursive: true, force: true });
});

export function scratch(name = 'scenario') {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `pc-${name}-`));
  folders.add(folder);
  return folder;
}

// Hashed credentials as `portcullis admin-token create` writes them, one per role.
function credentials(file) {
  const now = Math.floor(Date.now() / 1000);
  const tokens = {};
  const rows = ROLES.map((role) => {
    const id = crypto.randomBytes(8).toString('hex');
    const secret = crypto.randomBytes(32).toString('hex');
    tokens[role] = `pcadm_${id}_${secret}`;
    const sha256 = crypto.createHash('sha256').update(secret).digest('hex');
    return { id, name: `test-${role}`, role, sha256, created: now, expires: now + 86400, revoked: null };
  });
  fs.writeFileSync(file, JSON.stringify({ version: 1, tokens: rows }), { mode: 0o600 });
  return tokens;
}

const merge = (base, over) => {
  for (const [key, value] of Object.entries(over ?? {})) {
    const both = value && base[key] && typeof value === 'object' && typeof base[key] === 'object';
    if (both && !Array.isArray(value)) merge(base[key], value);
    else base[key] = value;
  }
  return base;
};

export class Server {
  // issuers: number of issuers, or a function (dir) => [Issuer]. config: merged over the default.
  // issuer: overrides of every issuer's configuration.
  constructor({ issuers = 1, issuer = {}, config = {}, env = {}, args = [], dir = scratch() } = {}) {
    this.dir = dir;
    this.dataDir = path.join(dir, 'data');
    this.env = env;
    this.args = args;
    this.issuers = typeof issuers === 'function' ? issuers(dir)
      : Array.from({ length: issuers }, (_, i) => new Issuer(`https://issuer${i}.test`, path.join(dir, `jwks${i}.json`)));
    this.issuer = this.issuers[0];
    this.tokens = credentials(path.join(dir, 'admin-tokens.json'));
    this.listener = {};
    this.log = '';
    const all = ['gateway', 'public', 'admin'];
    const tcp = '127.0.0.1:0';
    const trusted = { trusted_peers: ['127.0.0.0/8', 'unix'] };
    this.config = merge({
      data_dir: this.dataDir,
      cores: CORES,
      listeners: [
        { name: 'http', address: tcp, protocols: ['http1'], roles: all, ...trusted },
        { name: 'resp', address: tcp, protocols: ['resp'], roles: ['gateway'], ...trusted },
        { name: 'http-unix', address: `unix:${dir}/http.sock`, protocols: ['http1'], roles: all, ...trusted },
        { name: 'resp-unix', address: `unix:${dir}/resp.sock`, protocols: ['resp'], roles: ['gateway'], ...trusted },
        { name: 'gateway', address: tcp, protocols: ['http1'], roles: ['gateway'], ...trusted },
        { name: 'public', address: tcp, protocols: ['http1'], roles: ['public'], ...trusted },
        { name: 'admin', address: tcp, protocols: ['http1'], roles: ['admin'], ...trusted },
      ],
      issuers: this.issuers.map((one) => one.config(issuer)),
      // One client makes all the load here; the budget has tests of its own.
      signature_budget: { fraction: 1, client_share: 1 },
      // A busy test machine is no overload of the server.
      limits: { queue_delay: '10s' },
      // Many tests show wrong credentials from one address; the limit has tests of its own.
      admin: { tokens_file: path.join(dir, 'admin-tokens.json'), failed_credentials: '1000000/s' },
    }, config);
    if (process.env.PC_MASK) this.config.io_uring ??= { mask: process.env.PC_MASK.split(',') };
    this.configFile = path.join(dir, 'portcullis.yaml');
    this.writeConfig();
  }

  static async start(options) {
    const server = new Server(options);
    await server.start();
    return server;
  }

  // JSON is YAML.
  writeConfig(text = JSON.stringify(this.config, null, 2)) {
    fs.writeFileSync(this.configFile, text);
  }

  get listenersFile() {
    return path.join(this.dataDir, 'listeners.json');
  }

  spawn(args = [], options = {}) {
    fs.rmSync(this.listenersFile, { force: true });
    const command = [...WRAP, path.join(BIN, 'portcullis-edge'), '--config', this.configFile, ...this.args, ...args];
    this.child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.env },
      ...options,
    });
    const child = this.child;
    alive.add(child);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => { this.log += bytes; });
    this.exited = new Promise((resolve) => {
      child.on('error', (error) => { this.log += `${error}\n`; resolve({ code: -1, signal: null }); });
      child.on('close', (code, signal) => {
        alive.delete(child);
        resolve({ code, signal });
      });
    });
    this.gone = false;
    this.exited.then(() => { if (this.child === child) this.gone = true; });
    return this;
  }

  async start(args = []) {
    this.spawn(args);
    await until('the server to be ready', async () => {
      if (this.gone) {
        const { code, signal } = await this.exited;
        throw Object.assign(new Error(`the server did not start (${signal ?? code}):\n${this.log.slice(-4000)}`), { fatal: true });
      }
      const { listeners } = JSON.parse(fs.readFileSync(this.listenersFile, 'utf8'));
      this.listener = Object.fromEntries(listeners.map(({ name, address }) => [name, address]));
      return (await this.get('/readiness')).status === 200;
    }, START_LIMIT_MS);
    return this;
  }

  // For starts that must be refused: the exit code and the log.
  async startRefused(args = []) {
    this.log = '';
    this.spawn(args);
    const { code, signal } = await within('the server to refuse to start', this.exited, START_LIMIT_MS);
    return { code, signal, log: this.log };
  }

  signal(name) {
    this.child.kill(name);
  }

  // What /proc says the process is: behind a wrapper it is the same process (exec).
  get pid() {
    return this.child.pid;
  }

  // An orderly stop; a clean exit is part of every test (sanitizers report leaks there).
  async stop(name = 'SIGTERM') {
    if (!this.child || this.gone) return null;
    this.signal(name);
    const { code, signal } = await within(`the server to stop after ${name}`, this.exited, START_LIMIT_MS);
    if (name !== 'SIGKILL' && code !== 0) throw new Error(`exit ${signal ?? code} after ${name}:\n${this.log.slice(-6000)}`);
    return code;
  }

  kill() {
    return this.stop('SIGKILL');
  }

  async restart(args = []) {
    await this.stop();
    return this.start(args);
  }

  // ---- speaking to it

  address(name = 'http') {
    const address = this.listener[name];
    if (!address) throw new Error(`no listener ${name} in ${JSON.stringify(this.listener)}`);
    return address;
  }

  http(name = 'http') {
    return Http.open(this.address(name));
  }

  async resp(name = 'resp', role = 'operator') {
    const resp = await Resp.open(this.address(name));
    if (role) {
      const answer = await resp.command('AUTH', this.tokens[role]);
      if (answer !== 'OK') throw new Error(`AUTH: ${answer}`);
    }
    return resp;
  }

  bearer(role) {
    return { Authorization: `Bearer ${this.tokens[role]}` };
  }

  get(pathName, options) {
    return once(this.address(options?.listener), 'GET', pathName, options);
  }

  auth(token, { path: pathName = '/v1/auth', listener, headers } = {}) {
    return once(this.address(listener), 'GET', pathName, { headers: { Authorization: `Bearer ${token}`, ...headers } });
  }

  check(body, options) {
    return once(this.address(options?.listener), 'POST', '/v1/check', { body, headers: this.bearer('gateway') });
  }

  revoke(body, { role = 'operator', listener, query = '' } = {}) {
    return once(this.address(listener), 'POST', `/v1/revoke${query}`, { body, headers: this.bearer(role) });
  }

  unrevoke(body, { role = 'operator', listener } = {}) {
    return once(this.address(listener), 'DELETE', '/v1/revoke', { body, headers: this.bearer(role) });
  }

  // The portcullis command against this server.
  cli(args, { role = 'admin', input, env = {} } = {}) {
    const tokenFile = path.join(this.dir, `token-${role}`);
    fs.writeFileSync(tokenFile, `${this.tokens[role]}\n`, { mode: 0o600 });
    return cli(args, {
      input,
      env: {
        PORTCULLIS_ADMIN_TOKEN_FILE: tokenFile,
        PORTCULLIS_DATA_DIR: this.dataDir,
        PORTCULLIS_URL: this.listener.http ? `http://${this.address('http')}` : '',
        ...env,
      },
    });
  }
}

// Runs the portcullis command; never throws for an exit status.
export function cli(args, { input, env = {}, cwd } = {}) {
  return new Promise((resolve) => {
    const child = execFile(path.join(BIN, 'portcullis'), args, {
      env: { ...process.env, ...env }, cwd, maxBuffer: 64 << 20, timeout: START_LIMIT_MS,
    }, (error, stdout, stderr) => resolve({ code: error ? error.code ?? error.signal : 0, stdout, stderr }));
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(input ?? '');
  });
}

// Another program (redis-cli, promtool, …); never throws for an exit status.
export function run(command, args, { input, ...options } = {}) {
  return new Promise((resolve) => {
    const child = execFile(command, args, { maxBuffer: 64 << 20, timeout: 120_000, ...options },
      (error, stdout, stderr) => resolve({ code: error ? error.code ?? error.signal : 0, stdout, stderr, missing: error?.code === 'ENOENT' }));
    child.stdin?.on('error', () => {}).end(input ?? '');
  });
}

export const hostOf = (address) => address.slice(0, address.lastIndexOf(':'));
export const portOf = (address) => Number(address.slice(address.lastIndexOf(':') + 1));
