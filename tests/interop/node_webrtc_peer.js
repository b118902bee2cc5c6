// node-datachannel or werift as a child process: one peer connection, driven by JSON lines.
// Arguments: the stack and the role, and perhaps `trickle`: then descriptions come without candidates,
// and those in events of their own.  The modules are those of TRIO_SCTP_NODE_MODULES.
// The protocol is that of aiortc_webrtc_peer.py.
"use strict";
const { createHash } = require("crypto");
const { createRequire } = require("module");
const readline = require("readline");

const [stack, role, manner] = process.argv.slice(2);
const trickles = manner === "trickle";
const load = createRequire(process.env.TRIO_SCTP_NODE_MODULES + "/x.js");
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const tellMessage = (label, message) => {
  const text = typeof message === "string";
  const raw = text ? Buffer.from(message) : Buffer.from(message);
  const sha256 = createHash("sha256").update(raw).digest("hex");
  say({ event: "message", label, kind: text ? "text" : "binary", size: raw.length, sha256 });
};
const channels = {};
const early = []; // found before the description was given
let described = false;
const tellCandidate = (candidate) => {
  if (!trickles) return;
  if (described) say({ event: "candidate", candidate });
  else early.push(candidate);
};
const withoutCandidates = ({ sdp, type }) => ({
  type,
  sdp: sdp.split("\r\n").filter((line) => !/^a=(candidate|end-of-candidates)/.test(line)).join("\r\n"),
});

function libdatachannel() {
  const library = load("node-datachannel");
  const connection = new library.PeerConnection("peer", { iceServers: [], maxMessageSize: 262144 });
  connection.onStateChange((state) => say({ event: "state", state }));
  const watch = (channel, label) => {
    channels[label] = channel;
    channel.onClosed(() => say({ event: "close", label })); // it cannot be asked any more
  };
  connection.onDataChannel((channel) => {
    watch(channel, channel.getLabel());
    const send = (m) => (typeof m === "string" ? channel.sendMessage(m) : channel.sendMessageBinary(m));
    channel.onMessage(send);
    say({ event: "channel", label: channel.getLabel(), protocol: channel.getProtocol(), id: channel.getId() });
  });
  connection.onLocalCandidate((candidate) => tellCandidate(candidate.replace(/^a=/, "")));
  const gathered = new Promise((done) =>
    connection.onGatheringStateChange((state) => {
      if (state !== "complete") return;
      tellCandidate(null);
      done();
    }));
  const ready = async (state) => {
    if (!trickles) await gathered;
    // It negotiates in a thread of its own.
    while (connection.signalingState() !== state || !connection.localDescription())
      await new Promise((r) => setTimeout(r, 5));
  };
  return {
    open(label, options) {
      const channel = connection.createDataChannel(label, {
        unordered: options.ordered === false,
        maxRetransmits: options.maxRetransmits,
        protocol: options.protocol || "",
      });
      watch(channel, label);
      channel.onOpen(() => say({ event: "open", label, id: channel.getId() }));
      channel.onMessage((message) => tellMessage(label, message));
    },
    send(label, value) {
      if (typeof value === "string") channels[label].sendMessage(value);
      else channels[label].sendMessageBinary(value);
    },
    close: (label) => channels[label].close(),
    hangUp: () => connection.close(),
    candidate: (candidate) => candidate && connection.addRemoteCandidate(candidate, "0"),
    async offer() {
      await ready("have-local-offer");
      return connection.localDescription();
    },
    async describe(sdp, type) {
      connection.setRemoteDescription(sdp, type);
      if (type === "answer") return null;
      await ready("stable");
      return connection.localDescription();
    },
  };
}

function werift() {
  const { RTCPeerConnection } = load("werift");
  const connection = new RTCPeerConnection({ iceServers: [] });
  connection.connectionStateChange.subscribe((state) => say({ event: "state", state }));
  const watch = (channel) => {
    channels[channel.label] = channel;
    channel.stateChanged.subscribe(
      (state) => state === "closed" && say({ event: "close", label: channel.label }));
  };
  connection.onDataChannel.subscribe((channel) => {
    watch(channel);
    channel.onMessage.subscribe((message) => channel.send(message));
    say({ event: "channel", label: channel.label, protocol: channel.protocol, id: channel.id });
  });
  connection.onIceCandidate.subscribe((found) => tellCandidate(found ? found.candidate : null));
  const gathered = async () => {
    if (trickles) return connection.localDescription;
    while (connection.iceGatheringState !== "complete") await new Promise((r) => setTimeout(r, 20));
    return connection.localDescription;
  };
  return {
    open(label, options) {
      const channel = connection.createDataChannel(label, options);
      watch(channel);
      const opened = () => say({ event: "open", label, id: channel.id });
      if (channel.readyState === "open") opened();
      else channel.stateChanged.subscribe((state) => state === "open" && opened());
      channel.onMessage.subscribe((message) => tellMessage(label, message));
    },
    send: (label, value) => channels[label].send(value),
    close: (label) => channels[label].close(),
    hangUp: () => connection.close(),
    candidate: (candidate) =>
      candidate && connection.addIceCandidate({ candidate, sdpMid: "0", sdpMLineIndex: 0 }),
    async offer(options) {
      await connection.setLocalDescription(await connection.createOffer(options));
      return gathered();
    },
    async describe(sdp, type) {
      await connection.setRemoteDescription({ sdp, type });
      if (type === "answer") return null;
      await connection.setLocalDescription(await connection.createAnswer());
      return gathered();
    },
  };
}

async function main() {
  const peer = stack === "werift" ? werift() : libdatachannel();
  const giveDescription = (description) => {
    if (!description) return;
    const { sdp, type } = trickles ? withoutCandidates(description) : description;
    say({ event: "description", sdp, type });
    described = true;
    early.splice(0).forEach(tellCandidate);
  };
  if (role === "offer") {
    peer.open("from peer", {});
    giveDescription(await peer.offer());
  }
  for await (const text of readline.createInterface({ input: process.stdin })) {
    const line = JSON.parse(text);
    if (line.do === "open") peer.open(line.label, line.options || {});
    else if (line.do === "close") peer.close(line.label);
    else if (line.do === "hang up") peer.hangUp();
    else if (line.do === "candidate") await peer.candidate(line.candidate);
    else if (line.do === "sync") say({ event: "synced" });
    else if (line.do === "restart") giveDescription(await peer.offer({ iceRestart: true }));
    else if (line.do === "describe") giveDescription(await peer.describe(line.sdp, line.type));
    else if (line.do === "send") {
      const value = line.unit.repeat(line.times);
      peer.send(line.label, line.kind === "text" ? value : Buffer.from(value, "latin1"));
    }
  }
  process.exit(0);
}
main();
