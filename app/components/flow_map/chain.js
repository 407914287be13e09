// The samplers of a flow map, as cmcore/chain.py and cmcore/samplers/jumps.py define them: from t_k jump to
// t_{k+1} − η_{k+1}, and run the forward process for the time η_{k+1} back up to t_{k+1}.

const MOST_OF_TIME = 0.9; // Algorithm 1 renoises for no larger share of t, so that it never lands at time 0

// η of each jump, before what was learned cuts it; `share` is a share of t, or for Algorithm 1 of the step.
const RENOISING = {
  deterministic: () => 0,
  renoise: (_, later, share) => share * later,
  algorithm_1: (t, later, share) => Math.min(share * (t - later), MOST_OF_TIME * later),
  one_time: (_, later, __, last) => last ? 0 : later,
};

// The stages { t, s, scale, spread } on these times: jump from t to s, then scale · y + spread · z. No jump that is
// renoised lands before `earliest`, the δ a map learned.
function chainOf(sampler, times, share, earliest) {
  return times.slice(1).map((later, k) => {
    const wanted = RENOISING[sampler](times[k], later, share, k === times.length - 2);
    const eta = Math.max(0, Math.min(wanted, later - earliest));
    return { t: times[k], s: later - eta, scale: Math.exp(-eta), spread: Math.sqrt(-Math.expm1(-2 * eta)) };
  });
}

// How many of these stages add noise.
const noisyOf = (stages) => stages.filter((stage) => stage.spread > 0).length;

// One draw: { states, landings, evaluator }, each a list of [n, dim] by stage, the states with the noise first. `fresh`
// holds the noise of all noisy stages, point by point; `pause` is awaited between jumps and says whether to go on. Null
// where not. Where a map has a way for all jumps at once it is taken from the size on for which it is faster; whatever
// fails in it ends it for good, and the draw goes on without.
async function draw(map, chain, noise, fresh, pause = () => true) {
  const { dim, evaluator, atOnce } = map;
  if (atOnce && chain.length * noise.length / dim >= atOnce.least) {
    if (!await pause()) return null;
    try {
      return { ...await atOnce.draw(chain, noise, fresh), evaluator: "webgpu" };
    } catch {
      map.atOnce = null;
    }
  }
  const states = [noise], landings = [];
  for (const [k, { t, s }] of chain.entries()) {
    if (!await pause()) return null;
    landings.push(map.jump(states[k], t, s));
    states.push(renoised(landings[k], chain, k, dim, fresh));
  }
  return { states, landings, evaluator };
}

// The state after jump k of a chain, from where it lands.
function renoised(landing, chain, k, dim, fresh) {
  const { scale, spread } = chain[k];
  if (spread === 0) return landing;
  const all = dim * noisyOf(chain), at = dim * noisyOf(chain.slice(0, k));
  return landing.map((y, i) => scale * y + spread * fresh[Math.floor(i / dim) * all + at + i % dim]);
}

// N(0, I) where a draw begins, and the fresh noise of its noisy stages; the same seed gives every N the same start.
const startingNoise = (n, dim, seed) => Float32Array.from(normalRows(n, dim, seed, "starting noise"));

function freshNoise(n, dim, chain, seed, purpose = "fresh noise") {
  const noisy = noisyOf(chain);
  return noisy ? Float32Array.from(normalRows(n, noisy * dim, seed, purpose)) : null;
}
