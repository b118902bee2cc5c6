// What the two ends know about the connection.

import {count, ms, size} from './format.js';

const set = (id, text) => { document.querySelector(`#${id}`).textContent = text ?? '–'; };

async function ownFigures(pc) {
  const stats = [...(await pc.getStats()).values()];
  const transport = stats.find(({type}) => type === 'transport');
  const pair = stats.find(({id}) => id === transport?.selectedCandidatePairId);
  const remote = stats.find(({id}) => id === pair?.remoteCandidateId);
  if (remote) set('remote', `UDP ${remote.address?.includes(':') ? `[${remote.address}]` : remote.address ?? ''}:${remote.port}`);
  const versions = {FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3'};
  const name = versions[transport?.tlsVersion] ?? 'DTLS';
  const cipher = /AES_\d+_GCM|CHACHA20/.exec(transport?.dtlsCipher)?.[0].replaceAll('_', '-');
  if (cipher) set('cipher', `${name}, ${cipher}`);
}

export function figures(connection) {
  connection.addEventListener('connecting', ({detail}) => {
    for (const id of ['remote', 'cipher', 'srtt', 'cwnd', 'packets', 'retransmitted']) set(id);
    detail.figures.onmessage = ({data}) => {
      const note = JSON.parse(data);
      set('srtt', note.srtt === null ? null : ms(note.srtt * 1000));
      set('cwnd', size(note.cwnd));
      set('packets', count(note.packets));
      set('retransmitted', count(note.retransmitted));
      if (connection.peerConnection) ownFigures(connection.peerConnection).catch(() => {});
    };
  });
}
