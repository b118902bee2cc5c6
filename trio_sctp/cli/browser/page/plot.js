// A line over the last seconds, drawn on a canvas whenever the screen wants a new picture.

const STEPS = [1, 2, 4, 6, 8, 10];
const KEPT_MS = 1000; // beyond the left edge, so that the line comes from there

// What the left edge says; plots that share one can be compared.
export class Scale {
  #plots = [];

  constructor(least) {
    this.least = least;
    this.top = least;
  }

  join(plot) { this.#plots.push(plot); }

  // The smallest of 1, 2, 4, 6, 8, 10, 20 … that holds everything, with no haste to become smaller.
  adapt() {
    let most = this.least;
    for (const plot of this.#plots) for (const {value} of plot.points) if (value > most) most = value;
    const power = 10 ** Math.floor(Math.log10(most));
    const wanted = power * STEPS.find((step) => step * power >= most * 0.999);
    if (wanted > this.top || most < this.top * 0.35) this.top = wanted;
  }
}

export class Plot {
  points = []; // {at: in the time of performance.now(), value: or null for what was lost}
  until = null; // where time stands still
  #running = false;

  // colour is the name of a CSS variable; without a unit there are no words
  constructor(canvas, {span, colour, scale, unit = ''}) {
    Object.assign(this, {canvas, span, colour, scale, unit});
    scale.join(this);
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    this.draw();
  }

  add(at, value) {
    const {points} = this;
    points.push({at, value});
    // what was sent first need not come first
    for (let i = points.length - 1; i > 0 && points[i - 1].at > at; i--)
      [points[i - 1], points[i]] = [points[i], points[i - 1]];
    this.#move();
  }

  clear() {
    this.points = [];
    this.until = null;
    this.draw();
  }

  stop(at) {
    this.until = at;
    this.draw();
  }

  // It moves as long as there is something to see.
  #move() {
    if (this.#running) return;
    this.#running = true;
    const step = () => {
      const since = (this.until ?? performance.now()) - this.span * 1000 - KEPT_MS;
      this.points = this.points.filter(({at}) => at >= since);
      this.draw();
      this.#running = this.until === null && this.points.length > 0;
      if (this.#running) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  draw() {
    const {canvas, unit} = this, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width || !height) return;
    const g = this.#context(width, height);
    const until = this.until ?? performance.now();
    this.scale.adapt();
    g.font = `12px ${this.style.fontFamily}`;
    const left = unit ? Math.ceil(g.measureText('0000').width) + 8 : 0;
    const bottom = height - (unit ? 20 : 2), top = unit ? 9 : 3, right = width - (unit ? 6 : 2);
    const x = (at) => right - (right - left) * (until - at) / (this.span * 1000);
    const y = (value) => bottom - (bottom - top) * value / this.scale.top;
    if (unit) this.#grid(g, {left, right, height, x: (seconds) => x(until - seconds * 1000), y});
    g.save();
    g.beginPath();
    g.rect(left, 0, width - left, height);
    g.clip();
    this.#line(g, x, y, bottom);
    g.restore();
  }

  #context(width, height) {
    const {canvas} = this, ratio = devicePixelRatio || 1;
    const inPixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== inPixels[0] || canvas.height !== inPixels[1]) [canvas.width, canvas.height] = inPixels;
    const g = canvas.getContext('2d');
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    this.style = getComputedStyle(canvas);
    return g;
  }

  #grid(g, {left, right, height, x, y}) {
    g.strokeStyle = this.style.getPropertyValue('--line');
    g.fillStyle = this.style.getPropertyValue('--soft');
    g.lineWidth = 1;
    g.textAlign = 'right';
    g.textBaseline = 'middle';
    for (let i = 0; i <= 4; i++) {
      const value = this.scale.top * i / 4, at = Math.round(y(value)) + .5;
      g.beginPath();
      g.moveTo(left, at);
      g.lineTo(right, at);
      g.stroke();
      g.fillText(`${+value.toPrecision(3)}`, left - 8, at);
    }
    g.textBaseline = 'alphabetic';
    g.fillText(this.unit, left - 8, height - 4);
    for (let seconds = 0; seconds < this.span; seconds += 5) {
      g.textAlign = seconds ? 'center' : 'right';
      g.fillText(seconds ? `−${seconds} s` : 'now', x(seconds), height - 4);
    }
  }

  #line(g, x, y, floor) {
    g.strokeStyle = g.fillStyle = this.style.getPropertyValue(this.colour);
    g.lineWidth = 1.6;
    g.lineJoin = 'round';
    let run = [];
    for (const point of [...this.points, {value: null}]) {
      if (point.value !== null) { run.push(point); continue; }
      this.#stretch(g, run, x, y, floor);
      run = [];
      if (point.at) g.fillRect(x(point.at) - 1.25, floor - 12, 2.5, 12); // a lost one
    }
  }

  // What lies between two losses.
  #stretch(g, run, x, y, floor) {
    if (!run.length) return;
    const first = x(run[0].at), last = x(run.at(-1).at);
    g.beginPath();
    g.moveTo(first - .5, y(run[0].value)); // one alone is a dot
    for (const {at, value} of run) g.lineTo(x(at), y(value));
    g.stroke();
    g.lineTo(last, floor);
    g.lineTo(first, floor);
    g.globalAlpha = .13;
    g.fill();
    g.globalAlpha = 1;
  }
}
