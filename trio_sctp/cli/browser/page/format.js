// Numbers as people read them.

export const ms = (value) =>
  value < 0.995 ? `${value.toFixed(2)} ms` : value < 9.95 ? `${value.toFixed(1)} ms` : `${value.toFixed(0)} ms`;

export const rate = (bytesPerSecond) => {
  const value = bytesPerSecond / 1e6;
  return value < 9.95 ? value.toFixed(1) : value.toFixed(0);
};

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'];

export const size = (bytes) => {
  let unit = 0;
  while (bytes >= 1000 && unit < UNITS.length - 1) { bytes /= 1000; unit++; }
  return `${unit && bytes < 9.95 ? bytes.toFixed(1) : bytes.toFixed(0)} ${UNITS[unit]}`;
};

export const count = (value) => value.toLocaleString('en');
