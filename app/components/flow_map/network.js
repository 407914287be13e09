// The network of a map, evaluated for up to CHUNK points at once: compiled (network.c), or in plain JavaScript where a
// browser has no vectors in its WebAssembly, or where its host allows none.
//
// Both come as { points, answers, stride, setBias, run }. Points and answers lie in fours, as network.c has them: input i
// of point 4p + j is points[4 (p · inputs + i) + j], output i answers[4 (p · stride + i) + j]. `setBias` replaces the
// biases of the first layer, and `run(n)` answers n points.

const CHUNK = 512;
const TOGETHER = 8; // outputs that network.c sums side by side
const STACK = 65536; // bytes that network.wasm leaves to itself, as build_network says

// `layers` are { inputs, outputs, weight, bias }, the weights row by row; `module` is network.wasm, compiled.
function compiledNetwork(layers, module) {
  const filled = (n) => Math.ceil(n / TOGETHER) * TOGETHER;
  const widths = [layers[0].inputs, ...layers.map((layer) => layer.outputs)];
  const stride = filled(widths.at(-1)), widest = filled(Math.max(...widths));
  const sizes = {
    widths: widths.length,
    weights: layers.reduce((sum, { inputs, outputs }) => sum + (inputs + 1) * filled(outputs), 0),
    points: CHUNK * widths[0],
    answers: CHUNK * stride,
    even: 4 * widest,
    odd: 4 * widest,
  };
  const at = {};
  let end = STACK;
  for (const [name, size] of Object.entries(sizes)) {
    at[name] = end;
    end += Math.ceil(size / 4) * 16; // four bytes each, and every part begins where a vector may
  }
  const memory = new WebAssembly.Memory({ initial: Math.ceil(end / 65536) });
  const { network } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const part = (name) => new Float32Array(memory.buffer, at[name], sizes[name]);
  new Int32Array(memory.buffer, at.widths, widths.length).set(widths);
  const weights = part("weights");
  let next = 0;
  for (const { inputs, outputs, weight, bias } of layers) {
    for (let o = 0; o < outputs; o += TOGETHER) {
      for (let i = -1; i < inputs; i++, next += TOGETHER) {
        for (let j = 0; j < TOGETHER && o + j < outputs; j++) {
          weights[next + j] = i < 0 ? bias[o + j] : weight[(o + j) * inputs + i];
        }
      }
    }
  }
  return {
    points: part("points"),
    answers: part("answers"),
    stride,
    setBias(bias) {
      const block = TOGETHER * (layers[0].inputs + 1);
      bias.forEach((b, o) => weights[Math.floor(o / TOGETHER) * block + o % TOGETHER] = b);
    },
    run(n) {
      const fours = Math.ceil(n / 4);
      network(fours, layers.length, at.widths, at.weights, at.points, at.answers, at.even, at.odd);
    },
  };
}

// The same in plain JavaScript, in double precision, which costs nothing more there.
function plainNetwork(layers) {
  const stride = layers.at(-1).outputs, widest = Math.max(...layers.map((layer) => layer.outputs));
  const doubled = layers.map((layer) => ({
    ...layer,
    weight: Float64Array.from(layer.weight),
    bias: Float64Array.from(layer.bias),
  }));
  const points = new Float32Array(CHUNK * layers[0].inputs), answers = new Float32Array(CHUNK * stride);
  const even = new Float64Array(4 * Math.max(widest, layers[0].inputs)), odd = new Float64Array(even.length);
  return {
    points,
    answers,
    stride,
    setBias(bias) {
      doubled[0].bias.set(bias);
    },
    run(n) {
      for (let p = 0; p < Math.ceil(n / 4); p++) {
        let [from, to] = [even, odd];
        const size = 4 * layers[0].inputs;
        for (let i = 0; i < size; i++) from[i] = points[p * size + i];
        for (const layer of doubled) {
          plainLayer(layer, from, to);
          [from, to] = [to, from];
          if (layer !== doubled.at(-1)) {
            for (let i = 0; i < 4 * layer.outputs; i++) from[i] /= 1 + Math.exp(-from[i]);
          }
        }
        for (let i = 0; i < 4 * stride; i++) answers[4 * p * stride + i] = from[i];
      }
    },
  };
}

function plainLayer({ inputs, outputs, weight, bias }, from, to) {
  for (let o = 0, at = 0; o < outputs; o++) {
    let a = bias[o], b = a, c = a, d = a;
    for (let i = 0; i < 4 * inputs; i += 4, at++) {
      const w = weight[at];
      a += w * from[i];
      b += w * from[i + 1];
      c += w * from[i + 2];
      d += w * from[i + 3];
    }
    to[4 * o] = a;
    to[4 * o + 1] = b;
    to[4 * o + 2] = c;
    to[4 * o + 3] = d;
  }
}

// network.wasm compiled, or null where that is refused. A refusal is no fault: the plain network takes over.
function compileNetwork(base64) {
  try {
    return new WebAssembly.Module(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  } catch {
    return null;
  }
}

// What evaluates a network, in a word.
const evaluatorOf = (module) => module ? "wasm" : "javascript";
