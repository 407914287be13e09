// Draws for a stage, apart from the page's own thread. A question names a map and how to draw from it; it is answered N by
// N, and a newer question of the same stage ends an older one between two jumps.

const REMEMBERED = 16; // draws, and as many noises

// Answers by key; the one made longest ago goes first.
function remembering(size) {
  const made = new Map();
  return async (key, make) => {
    if (made.has(key)) return made.get(key);
    const value = await make();
    if (value !== null) made.set(key, value);
    if (made.size > size) made.delete(made.keys().next().value);
    return value;
  };
}

// Lets newer messages in: a function whose promise is kept once they were read.
function turns() {
  const channel = new MessageChannel(), waiting = [];
  channel.port1.onmessage = () => waiting.shift()();
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      channel.port2.postMessage(0);
    });
}

// What is behind the page: `answer(message, tell)` takes { map } or { stage, id, question } and tells { stage, id, n,
// count, states, landings, evaluator } for every N, [N + 1, count, 2] and [N, count, 2], then { stage, id, done: true }; where
// it cannot, { stage, id, failed } with the reason.
function answering(module, open = openDevice) {
  const maps = new Map(), newest = new Map(), many = remembering(REMEMBERED), noises = remembering(REMEMBERED);
  const turn = turns(), trials = trialsAtRest(turn, open);
  const pause = async (stage, id) => {
    await turn();
    return newest.get(stage) === id;
  };

  const answer = async (stage, id, { map: name, sampler, share, seed, particles, grids, own }, tell) => {
    const map = maps.get(name), { dim, hash } = map;
    for (const { n, times, count = particles } of grids) {
      const chain = chainOf(sampler, times, share, map.delta), noisy = noisyOf(chain);
      const drawn = await many([hash, sampler, share, seed, count, times].join(), async () => {
        const noise = await noises([seed, count, dim].join(), () => startingNoise(count, dim, seed));
        const fresh = await noises([seed, count, dim, noisy].join(), () => freshNoise(count, dim, chain, seed));
        return draw(map, chain, noise, fresh, () => pause(stage, id));
      });
      const one = own &&
        await draw(map, chain, Float32Array.from(own.start), freshNoise(1, dim, chain, seed, own.noise));
      if (!drawn || newest.get(stage) !== id) return;
      const [states, landings] = ["states", "landings"].map((name) =>
        plane(drawn[name], dim, count, own ? one[name] : null, own?.place)
      );
      const { evaluator } = drawn;
      tell({ stage, id, n, count: count + (own ? 1 : 0), states, landings: noisy ? landings : null, evaluator });
    }
    tell({ stage, id, done: true });
  };

  return async (message, tell) => {
    if (message.map) {
      const { name } = message.map;
      trials.gone(maps.get(name));
      return maps.set(name, openMap(message.map, module));
    }
    const { stage, id, question } = message;
    newest.set(stage, id);
    trials.asked();
    await answer(stage, id, question, tell).catch((problem) => tell({ stage, id, failed: String(problem) }));
    trials.answered(maps.get(question.map));
  };
}

// Lists of points [n, dim] as one array [list, n, 2] of their first two coordinates, with a point of one's own among them
// at `place`. Points on a line are spread out by the golden ratio, so that they can be told apart.
function plane(lists, dim, count, own, place) {
  const all = count + (own ? 1 : 0), out = new Float32Array(2 * all * lists.length);
  lists.forEach((points, k) => {
    for (let i = 0, at = 2 * k * all; i < count; i++, at += 2) {
      if (own && i === place) at = putPoint(out, at, own[k], 0, dim, place);
      putPoint(out, at, points, i, dim, i);
    }
    if (own && place >= count) putPoint(out, 2 * ((k + 1) * all - 1), own[k], 0, dim, place);
  });
  return out;
}

function putPoint(out, at, points, i, dim, name) {
  out[at] = points[i * dim];
  out[at + 1] = dim > 1 ? points[i * dim + 1] : 2 * ((name + 0.5) * GOLDEN % 1) - 1;
  return at + 2;
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

// In a worker of its own: says that it is there, and what it evaluates maps by, then answers.
function serve() {
  const module = compileNetwork(NETWORK_WASM), answer = answering(module);
  self.onmessage = ({ data }) => answer(data, (told) => self.postMessage(told, buffersOf(told)));
  self.postMessage({ ready: true, evaluator: evaluatorOf(module) });
}

const buffersOf = (told) => [told.states, told.landings].filter(Boolean).map((values) => values.buffer);
