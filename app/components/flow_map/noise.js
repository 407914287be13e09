// The engine's random numbers, number for number: cmcore/streams.py names the streams, torch draws them on the CPU with a
// Mersenne Twister and Box and Muller's method. So a seed shows the particles here that it gives everywhere.

// SHA-256 of a text as eight 32-bit words; browsers keep theirs from pages without https.
function sha256(text) {
  const bytes = new TextEncoder().encode(text), blocks = (bytes.length + 72) >> 6;
  const padded = new DataView(new ArrayBuffer(64 * blocks));
  bytes.forEach((byte, i) => padded.setUint8(i, byte));
  padded.setUint8(bytes.length, 0x80);
  padded.setUint32(64 * blocks - 4, 8 * bytes.length);
  const [state, constants] = sha256Constants(), words = new Uint32Array(64);
  const turn = (word, by) => (word >>> by) | (word << (32 - by));
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < 16; i++) words[i] = padded.getUint32(64 * block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const [a, b] = [words[i - 15], words[i - 2]];
      words[i] = words[i - 16] + words[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) +
        (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + words[i];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => state[i] += word);
  }
  return state;
}

// The first 32 bits behind the point of √p for the first 8 primes, and of ∛p for the first 64.
function sha256Constants() {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const behind = (value) => Math.floor((value % 1) * 2 ** 32);
  return [Uint32Array.from(primes.slice(0, 8), (p) => behind(Math.sqrt(p))), primes.map((p) => behind(Math.cbrt(p)))];
}

// A stream's numbers, uniform in [0, 1) with 53 bits each.
function uniformStream(seed, purpose) {
  const swap = (word) => (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
  const [low, high] = sha256(`${seed}/${purpose}`).subarray(0, 2).map(swap);
  const state = new Uint32Array(624);
  state[0] = (low >>> 1) | (high << 31); // torch seeds with half of eight bytes, and its generator takes the lower four
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = 624;
  const renew = () => {
    for (let i = 0; i < 624; i++) {
      const word = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  const word = () => {
    if (at === 624) renew();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
  return () => {
    const upper = word() & 0x1fffff;
    return (upper * 2 ** 32 + word()) / 2 ** 53;
  };
}

const BLOCK_NUMBERS = 8192; // of one kind in a block of rows, so that the first rows do not depend on how many follow
const FEWEST_ROWS = 16;

// The first n rows of N(0, 1) numbers of a stream, [n, width].
function normalRows(n, width, seed, purpose) {
  const uniform = uniformStream(seed, purpose);
  const rows = Math.max(FEWEST_ROWS, Math.floor(BLOCK_NUMBERS / width)), size = rows * width;
  const values = new Float64Array(Math.ceil(Math.max(1, n) / rows) * size);
  for (let begin = 0; begin < values.length; begin += size) fillNormal(values.subarray(begin, begin + size), uniform);
  return values.subarray(0, n * width);
}

// As torch fills a tensor: sixteen numbers at a time, and the last sixteen anew where they are not whole.
function fillNormal(values, uniform) {
  for (let i = 0; i < values.length; i++) values[i] = uniform();
  for (let i = 0; i + 16 <= values.length; i += 16) boxMuller(values, i);
  if (values.length % 16) {
    const begin = values.length - 16;
    for (let i = begin; i < values.length; i++) values[i] = uniform();
    boxMuller(values, begin);
  }
}

function boxMuller(values, begin) {
  for (let i = begin; i < begin + 8; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i])), angle = 2 * Math.PI * values[i + 8];
    values[i] = radius * Math.cos(angle);
    values[i + 8] = radius * Math.sin(angle);
  }
}
