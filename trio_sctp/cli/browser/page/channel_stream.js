// A data channel as a stream of bytes, as `DataChannel.as_stream()` is at the other end: the borders
// between messages mean nothing.

import {room} from './connection.js';

const PIECE = 64 * 1024;
const BUFFER = 1024 * 1024;

export class ChannelStream {
  #pieces = []; // what has arrived and was not taken
  #wake = null;

  constructor(channel) {
    this.channel = channel;
    channel.onmessage = ({data}) => {
      this.#pieces.push(typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data));
      this.#wake?.();
    };
    channel.addEventListener('close', () => this.#wake?.());
  }

  get hasReceived() { return this.#pieces.length > 0; }

  async send(bytes) {
    for (let at = 0; at < bytes.length; at += PIECE) {
      await room(this.channel, BUFFER);
      this.channel.send(bytes.subarray(at, at + PIECE));
    }
  }

  // At least one byte and at most so many.
  async some(most) {
    while (!this.#pieces.length) {
      if (this.channel.readyState !== 'open') throw Error('the connection was lost');
      await new Promise((resolve) => { this.#wake = resolve; });
    }
    const piece = this.#pieces[0];
    if (piece.length <= most) return this.#pieces.shift();
    this.#pieces[0] = piece.subarray(most);
    return piece.subarray(0, most);
  }

  async exactly(size) {
    const all = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const piece = await this.some(size - at);
      all.set(piece, at);
      at += piece.length;
    }
    return all;
  }

  // Four bytes of length, then JSON.
  async sendNote(note) {
    const json = new TextEncoder().encode(JSON.stringify(note)), bytes = new Uint8Array(4 + json.length);
    new DataView(bytes.buffer).setUint32(0, json.length);
    bytes.set(json, 4);
    await this.send(bytes);
  }

  async note() {
    const length = new DataView((await this.exactly(4)).buffer).getUint32(0);
    return JSON.parse(new TextDecoder().decode(await this.exactly(length)));
  }
}
