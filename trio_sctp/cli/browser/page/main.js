// The page: one connection, and what it is used for.

import {chat} from './chat.js';
import {Connection} from './connection.js';
import {echo} from './echo.js';
import {figures} from './figures.js';
import {files} from './files.js';
import {roundTrips} from './round_trips.js';
import {throughput} from './throughput.js';

const WORDS = {
  connecting: 'Connecting', connected: 'Connected', waiting: 'Waiting', lost: 'Lost', off: 'Disconnected',
};

const connection = new Connection();
const [box, state, detail, button] =
  ['#connection', '#state', '#state-detail', '#connect'].map((id) => document.querySelector(id));

connection.addEventListener('statechange', () => {
  box.dataset.state = connection.state;
  state.textContent = WORDS[connection.state];
  detail.textContent = connection.detail;
  button.textContent = {lost: 'Try now', off: 'Connect'}[connection.state] ?? 'Disconnect';
});
button.onclick = () => {
  if (connection.state === 'lost' || connection.state === 'off') connection.connect();
  else connection.disconnect();
};
for (const use of [roundTrips, throughput, chat, files, echo, figures]) use(connection);
addEventListener('online', () => connection.state === 'lost' && connection.connect());
addEventListener('pagehide', () => connection.disconnect()); // so that the server need not wait for it
addEventListener('pageshow', (event) => event.persisted && connection.connect());
connection.connect();
