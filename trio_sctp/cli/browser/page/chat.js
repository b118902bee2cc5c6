// A chat between all pages that are open.

const NAME = 'trio_sctp name';

const remembered = () => { try { return localStorage.getItem(NAME) ?? ''; } catch { return ''; } };
const remember = (name) => { try { localStorage.setItem(NAME, name); } catch { /* private mode */ } };

export function chat(connection) {
  const [log, people, form, name, text] =
    ['#said', '#people', '#say', '#name', '#text'].map((id) => document.querySelector(id));
  const button = form.querySelector('button');
  const mine = new Set(); // who this page has been
  let channel, me;
  name.value = remembered();

  const tell = (note) => channel?.readyState === 'open' && channel.send(JSON.stringify(note));
  const show = () => {
    button.disabled = channel?.readyState !== 'open';
    if (button.disabled) people.textContent = '';
  };

  const add = ({from, name: who, text: what}) => {
    const line = document.createElement('li'), by = document.createElement('b');
    by.textContent = who;
    line.className = mine.has(from) ? 'mine' : '';
    line.append(by, what);
    log.append(line);
    while (log.children.length > 200) log.firstChild.remove();
    log.scrollTop = log.scrollHeight;
  };

  const told = (note) => {
    if (note.you !== undefined) { mine.add(me = note.you); log.replaceChildren(); }
    for (const said of note.said ?? []) add(said);
    if (note.people) {
      const others = note.people.filter(({id}) => id !== me).map((person) => person.name);
      people.textContent = others.length ? `with ${others.join(', ')}` : 'nobody else is here';
      people.title = people.textContent;
      name.placeholder = note.people.find(({id}) => id === me)?.name ?? 'Name';
    }
  };

  connection.addEventListener('connecting', () => {
    channel = connection.open('chat');
    channel.onmessage = ({data}) => told(JSON.parse(data));
    channel.onopen = () => { show(); if (name.value) tell({name: name.value}); };
    channel.onclose = show;
    show();
  });
  connection.addEventListener('statechange', show);
  name.onchange = () => { remember(name.value); tell({name: name.value}); };
  form.onsubmit = (event) => {
    event.preventDefault();
    if (text.value.trim() && tell({text: text.value}) !== false) text.value = '';
  };
}
