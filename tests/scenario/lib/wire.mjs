// SPDX-License-Identifier: Apache-2.0
// Raw sockets: bytes out, parsed HTTP/1.1 responses or RESP2 replies in. Nothing here repairs or
// normalises, so that tests can send what no library would.
import net from 'node:net';
import { within } from './wait.mjs';

// "127.0.0.1:8080", "[::1]:8080" or "unix:/path" -> what net.connect takes.
export function target(address) {
  if (address.startsWith('unix:')) return { path: address.slice(5) };
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

export class Wire {
  constructor(socket) {
    this.socket = socket;
    this.buffer = Buffer.alloc(0);
    this.ended = false;
    this.error = null;
    this.wake = () => {};
    socket.on('data', (bytes) => {
      this.buffer = this.buffer.length ? Buffer.concat([this.buffer, bytes]) : bytes;
      this.wake();
    });
    const end = (error) => {
      this.error ??= error instanceof Error ? error : null;
      this.ended = true;
      this.wake();
    };
    socket.on('end', end).on('close', end).on('error', end);
    socket.setNoDelay?.(true);
  }

  static async open(address, options = {}) {
    const socket = net.connect({ ...target(address), allowHalfOpen: true, ...options });
    await within(`connect ${address}`, new Promise((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    }));
    return new Wire(socket);
  }

  send(bytes) {
    this.socket.write(bytes);
    return this;
  }

  // Resolves when more bytes came or the peer ended.
  async more(what) {
    const have = this.buffer.length;
    while (!this.ended && this.buffer.length === have) {
      await within(what, new Promise((resolve) => { this.wake = resolve; }));
    }
    return this.buffer.length > have;
  }

  async take(n, what) {
    while (this.buffer.length < n) {
      if (!(await this.more(what))) throw new Error(`closed in the middle of ${what}: ${this.buffer}`);
    }
    const bytes = this.buffer.subarray(0, n);
    this.buffer = this.buffer.subarray(n);
    return bytes;
  }

  async line(what) {
    let at;
    while ((at = this.buffer.indexOf('\r\n')) < 0) {
      if (!(await this.more(what))) throw new Error(`closed in the middle of ${what}: ${this.buffer}`);
    }
    return (await this.take(at + 2, what)).subarray(0, at).toString('latin1');
  }

  // Everything until the peer closes.
  async rest() {
    while (!this.ended) await this.more('the peer to close');
    const bytes = this.buffer;
    this.buffer = Buffer.alloc(0);
    return bytes;
  }

  // True once the peer has closed and nothing more came.
  async closed() {
    return (await this.rest()).length === 0;
  }

  close() {
    this.socket.destroy();
  }
}

export class Http extends Wire {
  static async open(address, options) {
    const wire = await Wire.open(address, options);
    return new Http(wire.socket);
  }

  async head() {
    const line = await this.line('a status line');
    const match = /^HTTP\/1\.1 (\d{3}) ([\x20-\x7e]*)$/.exec(line);
    if (!match) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    const headers = {};
    for (let text; (text = await this.line('a header')) !== '';) {
      const field = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?(.*?)[ \t]*$/.exec(text);
      if (!field) throw new Error(`not a header: ${JSON.stringify(text)}`);
      const name = field[1].toLowerCase();
      headers[name] = name in headers ? `${headers[name]}, ${field[2]}` : field[2];
    }
    return { status: Number(match[1]), reason: match[2], headers };
  }

  async chunks() {
    const parts = [];
    for (;;) {
      const size = parseInt(await this.line('a chunk size'), 16);
      if (size === 0) break;
      parts.push(await this.take(size, 'a chunk'));
      await this.line('the end of a chunk');
    }
    while ((await this.line('a trailer')) !== '');
    return Buffer.concat(parts);
  }

  // The next final response; interim ones are listed. `head` says that the request was HEAD.
  async response({ head = false } = {}) {
    const interim = [];
    for (;;) {
      const answer = await this.head();
      if (answer.status < 200) {
        interim.push(answer.status);
        continue;
      }
      const length = answer.headers['content-length'];
      let body = Buffer.alloc(0);
      if (head || answer.status === 204 || answer.status === 304) body = Buffer.alloc(0);
      else if (answer.headers['transfer-encoding']) body = await this.chunks();
      else if (length !== undefined) body = await this.take(Number(length), 'a body');
      else body = await this.rest();
      const text = body.toString();
      return { ...answer, interim, body: text, get json() { return JSON.parse(text); } };
    }
  }

  request(method, path, { headers = {}, body } = {}) {
    const payload = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const fields = { Host: 'test', ...headers };
    if (payload !== undefined) {
      fields['Content-Length'] ??= Buffer.byteLength(payload);
      fields['Content-Type'] ??= 'application/json';
    }
    const head = Object.entries(fields).map(([k, v]) => `${k}: ${v}\r\n`).join('');
    this.send(`${method} ${path} HTTP/1.1\r\n${head}\r\n`);
    if (payload !== undefined && payload.length) this.send(payload);
    return this.response({ head: method === 'HEAD' });
  }
}

// One request on a connection of its own.
export async function once(address, method, path, options = {}) {
  const http = await Http.open(address);
  try {
    return await http.request(method, path, { ...options, headers: { Connection: 'close', ...options.headers } });
  } finally {
    http.close();
  }
}

export class RespError extends Error {}

export class Resp extends Wire {
  static async open(address, options) {
    const wire = await Wire.open(address, options);
    return new Resp(wire.socket);
  }

  static encode(args) {
    const parts = args.map((a) => (Buffer.isBuffer(a) ? a : Buffer.from(String(a))));
    return Buffer.concat([Buffer.from(`*${parts.length}\r\n`),
      ...parts.flatMap((p) => [Buffer.from(`$${p.length}\r\n`), p, Buffer.from('\r\n')])]);
  }

  // A simple string or bulk as a string, an integer as a number, an error as a RespError (returned,
  // not thrown), null as null.
  async reply() {
    const line = await this.line('a reply');
    const rest = line.slice(1);
    switch (line[0]) {
      case '+': return rest;
      case '-': return new RespError(rest);
      case ':': return Number(rest);
      case '$': {
        if (rest === '-1') return null;
        const bytes = Buffer.from(await this.take(Number(rest), 'a bulk string'));
        await this.take(2, 'the end of a bulk string');
        return bytes.toString();
      }
      case '*': {
        if (rest === '-1') return null;
        const items = [];
        for (let i = 0; i < Number(rest); i++) items.push(await this.reply());
        return items;
      }
      default: throw new Error(`not a RESP2 reply: ${JSON.stringify(line)}`);
    }
  }

  command(...args) {
    this.send(Resp.encode(args));
    return this.reply();
  }

  async pipeline(commands) {
    this.send(Buffer.concat(commands.map(Resp.encode)));
    const replies = [];
    for (let i = 0; i < commands.length; i++) replies.push(await this.reply());
    return replies;
  }
}
