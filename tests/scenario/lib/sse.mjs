// SPDX-License-Identifier: Apache-2.0
// A reader of server-sent events that shows what EventSource hides: comments, ids, the end.
import { Http } from './wire.mjs';

export class Sse extends Http {
  // `answer` is the head; where it is no stream, `body` is its text.
  static async open(address, { path = '/v1/events', headers = {}, method = 'GET', version = '1.1' } = {}) {
    const http = await Http.open(address);
    const sse = new Sse(http.socket);
    const fields = Object.entries({ Host: 'test', ...headers }).map(([k, v]) => `${k}: ${v}\r\n`).join('');
    sse.send(`${method} ${path} HTTP/${version}\r\n${fields}\r\n`);
    sse.answer = await sse.head();
    sse.chunked = /chunked/.test(sse.answer.headers['transfer-encoding'] ?? '');
    sse.text = '';
    sse.over = false;
    sse.lastId = null;
    if (sse.answer.headers['content-length']) {
      sse.body = (await sse.take(Number(sse.answer.headers['content-length']), 'a body')).toString();
    }
    return sse;
  }

  // Adds what comes next; false at the end of the stream. A stream that ends without its last chunk
  // was cut off: `cut`.
  async feed() {
    if (this.over) return false;
    if (this.chunked) {
      try {
        const size = parseInt(await this.line('a chunk size'), 16);
        if (size) this.text += await this.take(size, 'a chunk');
        else this.over = true;
        await this.line('the end of a chunk');
      } catch (error) {
        if (!/closed/.test(error.message)) throw error;
        this.over = this.cut = true;
      }
    } else {
      this.over = !(this.buffer.length || await this.more('a part'));
      this.text += this.buffer;
      this.buffer = Buffer.alloc(0);
    }
    return !this.over;
  }

  // The next block: {event, data, id, comment, retry}; null at the end.
  async block() {
    let at;
    while ((at = this.text.indexOf('\n\n')) < 0) if (!(await this.feed())) return null;
    const block = { comments: [] };
    for (const line of this.text.slice(0, at).split('\n')) {
      const colon = line.indexOf(':');
      const value = line.slice(colon + 1).replace(/^ /, '');
      if (colon === 0) block.comments.push(value);
      else block[line.slice(0, colon)] = value;
    }
    this.text = this.text.slice(at + 2);
    this.lastId = block.id ?? this.lastId;
    return block;
  }

  // The next event, its data parsed; null at the end.
  async event() {
    for (;;) {
      const block = await this.block();
      if (!block) return null;
      if (block.event) return { event: block.event, id: block.id, ...JSON.parse(block.data) };
    }
  }
}
