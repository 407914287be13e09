// Which evaluator is faster on this machine: a map that was drawn from is tried on WebGPU once, when nothing has been
// asked for a while, so that nobody waits for it.

const REST = 1000; // milliseconds without a question
const DISTURBED = new Error("Somebody has asked for something.");

// { asked, answered, gone }, to be called with every question, with its map if there is one, once it was answered or a newer
// one has ended it, and with a map whose place another has taken.
// `turn` lets messages in, and `open` opens the device.
function trialsAtRest(turn, open) {
  const waiting = new Set(), tried = new WeakSet();
  let device = null, timer = null, questions = 0, unanswered = 0, running = Promise.resolve();
  const begin = async () => {
    const before = questions;
    const goOn = async () => {
      await turn();
      if (questions !== before) throw DISTURBED;
      return true;
    };
    for (const map of waiting) {
      device ??= open();
      if (!await tryOut(map, await device, goOn)) return;
      waiting.delete(map);
      tried.add(map);
    }
  };
  return {
    asked() {
      questions++;
      unanswered++;
      clearTimeout(timer);
    },
    answered(map) {
      unanswered--;
      if (map && !tried.has(map)) waiting.add(map);
      if (!unanswered && waiting.size) timer = setTimeout(() => running = running.then(begin), REST);
    },
    gone: (map) => waiting.delete(map),
  };
}

// Finds out from which size on a device draws faster from a map, and takes it for those draws: from `atOnce.least` network
// calls on. Says whether it came to an end, and was not disturbed. Whatever goes wrong speaks for what there was before.
async function tryOut(map, device, goOn, now = () => performance.now()) {
  if (!device) return true;
  try {
    map.atOnce ??= { least: Infinity, ...await onDevice(map.form, device) };
    const least = await leastCalls(map, goOn, now);
    map.atOnce = least < Infinity ? { ...map.atOnce, least } : null;
  } catch (problem) {
    if (problem === DISTURBED) return false;
    map.atOnce = null;
  }
  return true;
}

const TRIAL = { points: 2000, few: 200, jumps: 4, draws: 3 };

// From how many network calls on a draw is faster at once, and right; Infinity where never. What it costs to begin a draw is
// not told apart from the rest: a smaller one is taken to last as long as the trial's.
async function leastCalls(map, goOn, now) {
  const { dim, horizon, delta, atOnce } = map, { points, few, jumps } = TRIAL, jumping = { ...map, atOnce: null };
  const chain = chainOf("renoise", namedGrid("uniform_angle", jumps, horizon, delta), 0.5, delta);
  const noise = startingNoise(points, dim, 0), fresh = freshNoise(points, dim, chain, 0);
  const drawAtOnce = (n) => atOnce.draw(chain, noise.subarray(0, n * dim), fresh.subarray(0, n * dim * noisyOf(chain)));
  const fastest = async (drawing) => {
    let least = Infinity;
    for (let k = 0; k < TRIAL.draws; k++) {
      await goOn();
      const begin = now();
      await drawing();
      least = Math.min(least, now() - begin);
    }
    return least;
  };

  const byJumps = await fastest(() => draw(jumping, chain, noise, fresh, goOn));
  if (await fastest(() => drawAtOnce(few)) > byJumps) return Infinity; // a device in software would be busy for seconds
  if (!await agrees(jumping, chain, await drawAtOnce(points), fresh, goOn)) return Infinity;
  const together = await fastest(() => drawAtOnce(points));
  await goOn();
  return together < byJumps ? points * jumps * together / byJumps : Infinity;
}

const AGREEMENT = 1e-5; // of numbers in [−1, 1], and in proportion beyond
const STRETCHED = { share: 0.01, difference: 1e-2 }; // of what lands where a border between two modes stretches the map

// Whether a draw has the landings and states that its jumps have, each from where the draw itself stands.
async function agrees(map, chain, { states, landings }, fresh, goOn) {
  for (const [k, { t, s }] of chain.entries()) {
    await goOn();
    const state = renoised(landings[k], chain, k, map.dim, fresh);
    for (const [expected, found] of [[map.jump(states[k], t, s), landings[k]], [state, states[k + 1]]]) {
      const off = expected.map((y, i) => Math.abs(found[i] - y) / Math.max(1, Math.abs(y)));
      const beyond = (bound) => off.filter((difference) => !(difference <= bound)).length;
      if (beyond(STRETCHED.difference) || beyond(AGREEMENT) > STRETCHED.share * off.length) return false;
    }
  }
  return true;
}
