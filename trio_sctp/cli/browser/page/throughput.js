// How fast it goes, one direction after the other.  Who receives is who measures.

import {opened, room} from './connection.js';
import {rate, size} from './format.js';
import {Plot, Scale} from './plot.js';

const SECONDS = 4;
const BUFFER = 1024 * 1024;
const TICK_MS = 100;
const WINDOW_TICKS = 5;

class Meter {
  constructor(id, scale) {
    this.output = document.querySelector(`#${id} output`);
    this.plot = new Plot(document.querySelector(`#${id} canvas`), {
      span: SECONDS, colour: '--reliable', scale,
    });
  }

  begin() {
    this.plot.clear();
    this.marks = []; // {at, bytes}
    this.output.textContent = '…';
  }

  // So many bytes have arrived by now.
  mark(bytes, at = performance.now()) {
    this.marks.push({at, bytes});
    const before = this.marks.at(-1 - WINDOW_TICKS) ?? this.marks[0];
    if (at === before.at) return;
    const now = 1000 * (bytes - before.bytes) / (at - before.at);
    this.plot.add(at, now);
    this.output.textContent = rate(now);
  }

  // The mean of all of it stays.
  end() {
    const [first, last] = [this.marks[0], this.marks.at(-1)];
    if (!first || first === last) { this.output.textContent = '–'; return 0; }
    const mean = 1000 * (last.bytes - first.bytes) / (last.at - first.at);
    this.output.textContent = rate(mean);
    this.plot.stop(last.at);
    return last.bytes;
  }
}

async function down(connection, meter, messageSize) {
  const channel = connection.open('flood');
  let bytes = 0;
  channel.onmessage = ({data}) => { bytes += data.byteLength; };
  const over = new Promise((resolve) => channel.addEventListener('close', resolve));
  await opened(channel);
  channel.send(JSON.stringify({size: messageSize, seconds: SECONDS}));
  const timer = setInterval(() => { if (bytes) meter.mark(bytes); }, TICK_MS);
  await over;
  clearInterval(timer);
}

async function up(connection, meter, messageSize) {
  const channel = connection.open('count');
  const began = performance.now();
  channel.onmessage = ({data}) => {
    const {bytes, seconds} = JSON.parse(data);
    if (bytes) meter.mark(bytes, began + 1000 * seconds); // by the server's clock: reports may come late
  };
  await opened(channel);
  const message = new Uint8Array(messageSize), end = performance.now() + SECONDS * 1000;
  while (performance.now() < end) {
    await room(channel, BUFFER);
    while (channel.bufferedAmount <= BUFFER) channel.send(message);
  }
  channel.close();
}

export function throughput(connection) {
  const button = document.querySelector('#measure'), hint = document.querySelector('#throughput-hint');
  const scale = new Scale(1e5);
  const meters = {down: new Meter('down', scale), up: new Meter('up', scale)};
  let busy = false;
  const show = () => { button.disabled = busy || connection.state !== 'connected'; };

  connection.addEventListener('statechange', show);
  button.onclick = async () => {
    busy = true;
    show();
    const choice = document.querySelector('#message-size').selectedOptions[0];
    try {
      let bytes = 0;
      for (const [name, run, words] of [['down', down, 'To this page'], ['up', up, 'From this page']]) {
        hint.textContent = `${words} …`;
        meters[name].begin();
        try { await run(connection, meters[name], Number(choice.value)); } finally { bytes += meters[name].end(); }
      }
      hint.textContent = `${size(bytes)} in messages of ${choice.text}.`;
    } catch (error) {
      hint.textContent = `It ended early: ${error.message}.`;
    }
    busy = false;
    show();
  };
}
