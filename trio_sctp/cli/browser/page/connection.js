// The connection of this page to the server: one RTCPeerConnection after another.
//
// States: connecting, connected, waiting (connected, but nothing has been heard for some seconds),
// lost (it will be tried again), off (by the user).  A 'connecting' event gives everybody the chance
// to open channels before the offer is made; 'statechange' tells the state.

const TRY_AGAIN_MS = [1000, 2000, 4000, 8000, 15000];
const PATIENCE_MS = 15000;

export class Connection extends EventTarget {
  state = 'off';
  detail = '';
  network = '';
  #pc = null;
  #tries = 0;
  #timer = 0;

  get peerConnection() { return this.#pc; }

  // A channel of the connection that is being made, or of the one there is.  Whoever opens it has to
  // listen at once: the first message may come before the 'open' event.
  open(protocol, label = protocol, options = {}) {
    const channel = this.#pc.createDataChannel(label, {...options, protocol});
    channel.binaryType = 'arraybuffer';
    return channel;
  }

  async connect() {
    this.#hangUp();
    const pc = this.#pc = new RTCPeerConnection();
    this.#become('connecting');
    this.#timer = setTimeout(() => this.#lost(pc, 'the server does not answer'), PATIENCE_MS);
    pc.addEventListener('connectionstatechange', () => this.#look(pc));
    const first = this.open('figures');
    first.addEventListener('open', () => this.#connected(pc));
    first.addEventListener('close', () => this.#lost(pc, 'the server has gone'));
    this.dispatchEvent(new CustomEvent('connecting', {detail: {figures: first}}));
    try {
      await this.#negotiate(pc);
    } catch (error) {
      this.#lost(pc, error.message);
    }
  }

  disconnect() {
    this.#hangUp();
    this.#tries = 0;
    this.#become('off');
  }

  // The offer need not wait for candidates: the server waits at the address that its answer tells,
  // and learns ours from the first check.
  async #negotiate(pc) {
    await pc.setLocalDescription();
    const response = await fetch(`session?${this.network}`, {
      method: 'POST',
      headers: {'Content-Type': 'application/sdp'},
      body: pc.localDescription.sdp,
    }).catch(() => { throw Error('the server cannot be reached'); });
    const text = await response.text();
    if (!response.ok) throw Error(text || `the server says ${response.status}`);
    if (pc === this.#pc) await pc.setRemoteDescription({type: 'answer', sdp: text});
  }

  #connected(pc) {
    if (pc !== this.#pc) return;
    clearTimeout(this.#timer);
    this.#tries = 0;
    this.#become('connected');
  }

  #look(pc) {
    if (pc !== this.#pc) return;
    if (pc.connectionState === 'failed') this.#lost(pc, 'no way to the server');
    else if (pc.connectionState === 'disconnected') this.#become('waiting', 'nothing is heard of the server');
    else if (pc.connectionState === 'connected' && this.state === 'waiting') this.#become('connected');
  }

  #lost(pc, why) {
    if (pc !== this.#pc) return;
    this.#hangUp();
    const wait = TRY_AGAIN_MS[Math.min(this.#tries++, TRY_AGAIN_MS.length - 1)];
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#become('lost', `${why}; trying again in ${wait / 1000} s`);
  }

  #hangUp() {
    clearTimeout(this.#timer);
    this.#pc?.close();
    this.#pc = null;
  }

  #become(state, detail = '') {
    this.state = state;
    this.detail = detail;
    this.dispatchEvent(new Event('statechange'));
  }
}

// Resolves when a channel is open, rejects if it closes before.
export const opened = (channel) => new Promise((resolve, reject) => {
  if (channel.readyState === 'open') resolve(channel);
  channel.addEventListener('open', () => resolve(channel), {once: true});
  channel.addEventListener('close', () => reject(Error('the connection was lost')), {once: true});
});

// Resolves when there is room for more in the channel's buffer.
export const room = (channel, limit) => new Promise((resolve, reject) => {
  if (channel.readyState !== 'open') reject(Error('the connection was lost'));
  if (channel.bufferedAmount <= limit) resolve();
  channel.bufferedAmountLowThreshold = limit / 2;
  channel.addEventListener('bufferedamountlow', resolve, {once: true});
  channel.addEventListener('close', () => reject(Error('the connection was lost')), {once: true});
});
