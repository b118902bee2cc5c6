// What the pages of the examples have in common: one HTTP request brings their offer to the server and
// the answer back.  A page makes its channels first, or its offer will not ask for any.

async function connect(pc) {
  await pc.setLocalDescription();  // the server is ICE lite: it need not know where we are
  const answer = await fetch('offer', {method: 'POST', body: JSON.stringify(pc.localDescription)});
  if (!answer.ok) throw Error((await answer.json()).error);
  await pc.setRemoteDescription(await answer.json());
}
