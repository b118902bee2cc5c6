// Pings on a reliable and on an unreliable channel, side by side.
//
// A ping is its number and when it was sent; the server sends it back on the same channel.

import {ms} from './format.js';
import {Plot, Scale} from './plot.js';

const INTERVAL_MS = 50;
const SPAN_S = 15;
const GIVEN_UP_MS = 2000;
const MOST_WAITING = 4096; // bytes: behind them no ping would tell anything
const KINDS = [
  {name: 'reliable', options: {}},
  {name: 'unreliable', options: {ordered: false, maxRetransmits: 0}},
];

class Pings {
  constructor({name, options}, scale) {
    this.name = name;
    this.options = options;
    this.cells = [...document.querySelectorAll(`#${name} dd`)];
    const canvas = document.querySelector(`#${name} canvas`);
    this.plot = new Plot(canvas, {span: SPAN_S, colour: `--${name}`, scale, unit: 'ms'});
    this.reset();
  }

  reset() {
    this.plot.clear();
    this.waiting = new Map(); // number → when it was sent
    this.next = 0;
  }

  use(connection) {
    this.reset();
    this.channel = connection.open('echo', `pings, ${this.name}`, this.options);
    this.channel.onmessage = ({data}) => this.#came(new Float64Array(data)[0]);
  }

  send() {
    if (this.channel?.readyState !== 'open' || this.channel.bufferedAmount > MOST_WAITING) return;
    const number = this.next++;
    this.waiting.set(number, performance.now());
    this.channel.send(new Float64Array([number]));
  }

  #came(number) {
    const now = performance.now(), sent = this.waiting.get(number);
    if (sent === undefined) return; // given up
    this.waiting.delete(number);
    this.latest = now - sent;
    this.plot.add(sent, this.latest);
  }

  // What will never come again, because nobody repeats it.
  giveUp() {
    if (this.name === 'reliable') return;
    const before = performance.now() - GIVEN_UP_MS;
    for (const [number, sent] of this.waiting) {
      if (sent > before) break;
      this.waiting.delete(number);
      this.plot.add(sent, null);
    }
  }

  show() {
    const since = performance.now() - SPAN_S * 1000;
    const all = this.plot.points.filter(({at}) => at >= since).map(({value}) => value);
    const came = all.filter((value) => value !== null).sort((a, b) => a - b);
    const quantile = (q) => ms(came[Math.min(came.length - 1, Math.floor(q * came.length))]);
    const lost = all.length - came.length;
    const texts = came.length
      ? [ms(this.latest), quantile(.5), quantile(.99), `${(100 * lost / all.length).toFixed(lost ? 1 : 0)} %`]
      : ['–', '–', '–', '–'];
    texts.forEach((text, i) => { this.cells[i].textContent = text; });
  }
}

export function roundTrips(connection) {
  const scale = new Scale(1);
  const kinds = KINDS.map((kind) => new Pings(kind, scale));
  const network = document.querySelector('#network');

  connection.addEventListener('connecting', () => kinds.forEach((pings) => pings.use(connection)));
  network.onchange = () => {
    connection.network = network.value;
    connection.connect();
  };
  setInterval(() => {
    if (connection.state === 'connected' || connection.state === 'waiting')
      for (const pings of kinds) { pings.send(); pings.giveUp(); }
  }, INTERVAL_MS);
  setInterval(() => kinds.forEach((pings) => pings.show()), 500);
}
