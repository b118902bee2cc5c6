// Whatever is sent comes back on the same channel.

import {ms} from './format.js';

export function echo(connection) {
  const [log, form, input] = ['#echoes', '#shout', '#call'].map((id) => document.querySelector(id));
  const button = form.querySelector('button');
  const sent = []; // when; the channel keeps the order
  let channel;
  const show = () => { button.disabled = channel?.readyState !== 'open'; };

  connection.addEventListener('connecting', () => {
    channel = connection.open('echo');
    sent.length = 0;
    channel.onopen = channel.onclose = show;
    channel.onmessage = ({data}) => {
      const line = document.createElement('li'), text = document.createElement('span');
      const time = document.createElement('time');
      text.textContent = data;
      time.textContent = ms(performance.now() - sent.shift());
      line.append(text, time);
      log.append(line);
      while (log.children.length > 50) log.firstChild.remove();
      log.scrollTop = log.scrollHeight;
    };
    show();
  });
  connection.addEventListener('statechange', show);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (!input.value || channel?.readyState !== 'open') return;
    sent.push(performance.now());
    channel.send(input.value);
    input.value = '';
  };
}
