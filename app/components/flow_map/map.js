// A flow map f(x, t, s): its network, the features it sees, and how the jump is made of its answer, as
// cmcore/networks.py and cmcore/preconditioning.py define them.
//
// Times enter in double precision and only once a jump: what the network sees of them is the same for all points, and
// becomes part of the biases of its first layer.

// skip and out of f = skip · x − out · F, from the angle θ_t and the gap θ_t − θ_s.
const PRECONDITIONINGS = {
  trig: (_, gap) => [Math.cos(gap), Math.sin(gap)],
  linear: (theta, gap) => {
    const end = theta - gap, size = Math.cos(theta) + Math.sin(theta);
    return [(Math.cos(end) + Math.sin(end)) / size, Math.sin(gap) / size];
  },
};

// What a map is made of, from a bundle that was read (flow_map/__init__.py): the `layers` of its network, of whose first
// one only the inputs that differ from point to point are there; the `multiples` of each coordinate that are among them;
// and jumpOf(t, s), { bias, skip, out }: the first layer's biases with what the network sees of times, and f's factors.
function formOf({ arrays, ...header }) {
  const { dim, timeFrequencies, secondTime, spaceFrequencies: multiples, experts, sharpness } = header;
  const layers = header.widths.slice(1).map((outputs, k) => ({
    inputs: header.widths[k],
    outputs,
    weight: arrays[`weight_${k}`].values,
    bias: arrays[`bias_${k}`].values,
  }));
  const inputs = dim * (1 + 2 * multiples.length), { outputs, bias, weight, inputs: whole } = layers[0];
  const ofPoints = new Float32Array(outputs * inputs);
  for (let o = 0; o < outputs; o++) ofPoints.set(weight.subarray(o * whole, o * whole + inputs), o * inputs);
  const first = { inputs, outputs, weight: ofPoints, bias };

  const biasAt = (theta, gap) => {
    const seen = [];
    for (const quarter of [0, Math.PI / 2]) {
      for (const angle of [theta, secondTime ? gap : 0]) {
        for (const multiple of timeFrequencies) seen.push(Math.sin(multiple * angle + quarter));
      }
    }
    return Array.from(bias, (b, o) => seen.reduce((sum, value, i) => sum + weight[o * whole + inputs + i] * value, b));
  };
  const jumpOf = (t, s) => {
    const theta = angleAt(t), gap = theta - angleAt(s);
    const [skip, out] = PRECONDITIONINGS[header.preconditioning](theta, gap);
    return { bias: biasAt(theta, gap), skip, out };
  };
  return { dim, layers: [first, ...layers.slice(1)], multiples, experts, sharpness, jumpOf };
}

// A map from such a bundle; `module` is network.wasm compiled, or null. It has { hash, dim, horizon, delta, form,
// evaluator, jump }: what the jump is evaluated by, in a word, and the jump. `atOnce` is another way, which may come
// later (trial.js).
function openMap(bundle, module) {
  const form = formOf(bundle), { dim, layers, multiples, experts, sharpness, jumpOf } = form, inputs = layers[0].inputs;
  // The features are x, then sin and cos of multiples of its coordinates.
  const waves = [];
  for (const quarter of [0, Math.PI / 2]) {
    for (let i = 0; i < dim; i++) for (const multiple of multiples) waves.push({ i, multiple, quarter });
  }
  const network = (module ? compiledNetwork : plainNetwork)(layers, module);

  // What the network answers one point: its outputs, or those of its experts mixed by a softmax of the first of them
  // (cmcore/experts.py).
  const answer = new Float64Array(dim), shares = new Float64Array(experts);
  const mix = (outputs, at) => {
    answer.fill(0);
    if (experts === 1) return answer.forEach((_, i) => answer[i] = outputs[at + 4 * i]);
    let most = -Infinity, sum = 0;
    for (let k = 0; k < experts; k++) most = Math.max(most, outputs[at + 4 * k]);
    for (let k = 0; k < experts; k++) sum += shares[k] = Math.exp(sharpness * (outputs[at + 4 * k] - most));
    for (let k = 0, next = at + 4 * experts; k < experts; k++) {
      for (let i = 0; i < dim; i++, next += 4) answer[i] += shares[k] / sum * outputs[next];
    }
  };

  // The points [n, dim], one after another, taken from the time t to the earlier time s.
  const jump = (points, t, s) => {
    const { bias, skip, out } = jumpOf(t, s), landed = new Float32Array(points.length), n = points.length / dim;
    network.setBias(bias);
    for (let begin = 0; begin < n; begin += CHUNK) {
      const count = Math.min(CHUNK, n - begin);
      for (let j = 0; j < count; j++) {
        const at = 4 * inputs * (j >> 2) + (j & 3), x = (begin + j) * dim;
        for (let i = 0; i < dim; i++) network.points[at + 4 * i] = points[x + i];
        waves.forEach(({ i, multiple, quarter }, k) => {
          network.points[at + 4 * (dim + k)] = Math.sin(multiple * points[x + i] + quarter);
        });
      }
      network.run(count);
      for (let j = 0; j < count; j++) {
        const at = 4 * network.stride * (j >> 2) + (j & 3), x = (begin + j) * dim;
        mix(network.answers, at);
        for (let i = 0; i < dim; i++) landed[x + i] = skip * points[x + i] - out * answer[i];
      }
    }
    return landed;
  };
  const { hash, horizon, delta } = bundle;
  return { hash, dim, horizon, delta, form, evaluator: evaluatorOf(module), jump, atOnce: null };
}
