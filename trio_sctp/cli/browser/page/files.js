// Files to the server and back, each over a channel of its own: name and size, the content, its
// SHA-256; then the receiver says whether it has it.

import {ChannelStream} from './channel_stream.js';
import {opened} from './connection.js';
import {rate, size} from './format.js';
import {Sha256, equal} from './sha256.js';

const BLOCK = 1024 * 1024;
const BLOB = 32 * 1024 * 1024;
const FILE_PROTOCOL = 'trio-sctp.file';

// One line with a bar.
class Transfer {
  constructor(list, arrow, name, total) {
    this.total = total;
    this.began = performance.now();
    this.item = document.createElement('li');
    const line = document.createElement('div'), title = document.createElement('span');
    line.className = 'name-line';
    title.textContent = `${arrow} ${name}`;
    this.state = document.createElement('span');
    line.append(title, this.state);
    this.bar = document.createElement('progress');
    this.bar.setAttribute('aria-label', name);
    this.item.append(line, this.bar);
    list.prepend(this.item);
    while (list.children.length > 5) list.lastChild.remove();
  }

  progress(bytes) {
    this.bar.max = Math.max(this.total, 1);
    this.bar.value = bytes;
    const percent = this.total ? Math.floor(100 * bytes / this.total) : 100;
    this.state.textContent = `${percent} % of ${size(this.total)}`;
  }

  done() {
    this.bar.remove();
    this.item.className = 'done';
    const speed = 1000 * this.total / (performance.now() - this.began);
    this.state.textContent = `✓ ${size(this.total)}${this.total > 1e5 ? ` at ${rate(speed)} MB/s` : ''}`;
  }

  failed(error) {
    this.bar.remove();
    this.item.className = 'failed';
    this.state.textContent = error.message;
  }
}

async function sendFile(channel, file, transfer) {
  const stream = new ChannelStream(channel), digest = new Sha256();
  await opened(channel);
  await stream.sendNote({name: file.name, size: file.size});
  for (let at = 0; at < file.size && !stream.hasReceived; at += BLOCK) { // an early answer says no
    const block = new Uint8Array(await file.slice(at, at + BLOCK).arrayBuffer());
    digest.update(block);
    await stream.send(block);
    transfer.progress(at + block.length - channel.bufferedAmount);
  }
  if (!stream.hasReceived) await stream.send(digest.digest());
  const answer = await stream.note();
  if (!answer.saved) throw Error(answer.error ?? 'the server did not take it');
}

async function fetchFile(channel, transfer) {
  const stream = new ChannelStream(channel), digest = new Sha256();
  await opened(channel);
  const header = await stream.note();
  if (header.error) throw Error(header.error);
  transfer.total = header.size;
  const blobs = [];
  let pieces = [], held = 0;
  for (let left = header.size; left;) {
    const piece = await stream.some(left);
    left -= piece.length;
    held += piece.length;
    digest.update(piece);
    pieces.push(piece);
    if (held >= BLOB) { blobs.push(new Blob(pieces)); pieces = []; held = 0; } // the browser may put it on disk
    transfer.progress(header.size - left);
  }
  if (!equal(digest.digest(), await stream.exactly(32))) {
    await stream.sendNote({error: 'the SHA-256 is another one'});
    throw Error('what arrived is not what was sent');
  }
  await stream.sendNote({saved: true});
  return new Blob([...blobs, ...pieces]);
}

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export function files(connection) {
  const [input, drop, transfers, shared] =
    ['#file', '#drop', '#transfers', '#shared'].map((id) => document.querySelector(id));

  async function run(channel, transfer, work) {
    transfer.progress(0);
    try {
      const result = await work(channel, transfer);
      transfer.done();
      return result;
    } catch (error) {
      transfer.failed(error);
      return null;
    } finally {
      channel.close();
    }
  }

  const send = (file) => {
    const transfer = new Transfer(transfers, '↑', file.name, file.size);
    return run(connection.open(FILE_PROTOCOL, file.name), transfer, (channel) => sendFile(channel, file, transfer));
  };
  const get = async (name, total) => {
    const transfer = new Transfer(transfers, '↓', name, total);
    const blob = await run(connection.open('fetch', name), transfer, fetchFile);
    if (blob) save(blob, name);
  };

  const list = (all) => shared.replaceChildren(...all.map(({name, size: bytes}) => {
    const item = document.createElement('li'), title = document.createElement('span');
    const length = document.createElement('small'), button = document.createElement('button');
    title.textContent = title.title = name;
    length.textContent = size(bytes);
    button.textContent = 'Get';
    button.className = 'quiet small';
    button.setAttribute('aria-label', `Get ${name}`);
    button.onclick = () => get(name, bytes);
    item.append(title, length, button);
    return item;
  }));

  connection.addEventListener('connecting', () => {
    connection.open('files').onmessage = ({data}) => list(JSON.parse(data).files);
  });
  connection.addEventListener('statechange', () => {
    const off = connection.state !== 'connected';
    input.disabled = off;
    for (const button of shared.querySelectorAll('button')) button.disabled = off;
  });
  input.onchange = () => {
    for (const file of input.files) send(file);
    input.value = '';
  };
  for (const name of ['dragenter', 'dragover', 'dragleave', 'drop'])
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle('over', name.endsWith('enter') || name.endsWith('over'));
      if (name === 'drop' && !input.disabled) for (const file of event.dataTransfer.files) send(file);
    });
}
