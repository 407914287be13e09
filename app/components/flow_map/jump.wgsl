// One jump of a flow map for many points, on the graphics processor: the features of points, affine layers with SiLU
// between them, the mixture of experts, f = skip · x − out · F (map.js), and where noise follows, scale · f + spread · z
// (chain.js). All numbers are in single precision.
//
// A workgroup takes four points, and a vector of units holds one of each, as in network.c. Its threads share out the
// outputs of a layer, four to a thread; the units of one layer and of the next lie in `units`, in turns.
//
// Precision. WGSL's own sin may err by 2⁻¹¹, and by more beyond π, so it is made here of multiplications and additions.
// Its exp may err by 3 + 2|x| units in the last place: of e⁻ᶻ that moves z/(1 + e⁻ᶻ) by some 1e-7, and a share of the
// experts as little. Compilers may contract and reorder sums, divisions may err by 2.5 units: what a device makes of all
// this is compared with the other evaluators before it is in use (trial.js).

override DIM: u32;
override MULTIPLES: u32; // of each coordinate, whose sine and cosine are features
override LAYERS: u32;
override WIDEST: u32; // inputs or outputs of a layer, in whole fours
override EXPERTS: u32;
override SHARPNESS: f32;
override THREADS: u32;

const PART = 16u; // inputs that are summed before their sum is added to the total: rounding grows with each addition
const MOST_EXPONENT = 80.0; // e⁸⁰ is a number in single precision, and z e⁻⁸⁰ is none that counts

struct Jump {
  points: u32,
  number: u32, // in its chain
  noises: u32, // numbers of fresh noise that a point has, for all jumps together
  noise: u32, // where this jump's begin among them
  skip: f32,
  out: f32,
  scale: f32,
  spread: f32,
}

@group(0) @binding(0) var<uniform> jump: Jump;
@group(0) @binding(1) var<storage, read> widths: array<u32>; // the inputs, then the outputs of each layer
@group(0) @binding(2) var<storage, read> multiples: array<vec2f>; // in quarter turns: twelve bits, and the rest
@group(0) @binding(3) var<storage, read> weights: array<vec4f>; // by layer: all biases, then all weights of each input
@group(0) @binding(4) var<storage, read> biases: array<vec4f>; // of the first layer, by jump
@group(0) @binding(5) var<storage, read> fresh: array<f32>;
@group(0) @binding(6) var<storage, read_write> path: array<f32>; // a state, then a landing and a state for each jump

var<workgroup> units: array<vec4f, 2 * WIDEST>;

@compute @workgroup_size(THREADS)
fn land(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first = 4 * group.x;
  see(first, thread);
  var here = 0u;
  var next = WIDEST;
  var at = 0u;
  for (var k = 0u; k < LAYERS; k++) {
    workgroupBarrier();
    let fours = (widths[k + 1] + 3) / 4;
    for (var four = thread; four < fours; four += THREADS) {
      let total = affine(k, at, here, four);
      for (var j = 0u; j < 4; j++) {
        units[next + 4 * four + j] = total[j];
        if k < LAYERS - 1 {
          units[next + 4 * four + j] = silu(total[j]);
        }
      }
    }
    at += (widths[k] + 1) * fours;
    let written = next;
    next = here;
    here = written;
  }
  workgroupBarrier();
  for (var i = thread; i < DIM; i += THREADS) {
    leave(first, i, mixed(here, i));
  }
}

// The features: x, then sines and cosines of multiples of its coordinates.
fn see(first: u32, thread: u32) {
  for (var i = thread; i < DIM; i += THREADS) {
    let x = coordinate(first, i);
    units[i] = x;
    for (var m = 0u; m < MULTIPLES; m++) {
      let wave = sine_and_cosine(x, multiples[m]);
      units[DIM + i * MULTIPLES + m] = wave[0];
      units[DIM + (DIM + i) * MULTIPLES + m] = wave[1];
    }
  }
}

// Four outputs of layer k, each for four points. The layer's numbers begin `at` among the weights, and its inputs lie `here`
// among the units.
fn affine(k: u32, at: u32, here: u32, four: u32) -> mat4x4f {
  let inputs = widths[k];
  let fours = (widths[k + 1] + 3) / 4;
  var bias = weights[at + four];
  if k == 0 {
    bias = biases[jump.number * fours + four];
  }
  var total = products(bias, vec4f(1));
  var weight = at + fours + four;
  for (var begin = 0u; begin < inputs; begin += PART) {
    var sum = mat4x4f();
    for (var i = begin; i < min(begin + PART, inputs); i++) {
      sum += products(weights[weight], units[here + i]);
      weight += fours;
    }
    total += sum;
  }
  return total;
}

// Each of four weights times the input of each of four points.
fn products(weight: vec4f, input: vec4f) -> mat4x4f {
  return mat4x4f(weight.x * input, weight.y * input, weight.z * input, weight.w * input);
}

fn silu(z: vec4f) -> vec4f {
  return z / (1.0 + exp(min(-z, vec4f(MOST_EXPONENT))));
}

// Coordinate i of the network's answer: its output, or those of its experts mixed by a softmax of the first of them.
fn mixed(here: u32, i: u32) -> vec4f {
  if EXPERTS == 1 {
    return units[here + i];
  }
  var most = units[here];
  for (var k = 1u; k < EXPERTS; k++) {
    most = max(most, units[here + k]);
  }
  var sum = vec4f();
  var answer = vec4f();
  for (var k = 0u; k < EXPERTS; k++) {
    let share = exp(max(SHARPNESS * (units[here + k] - most), vec4f(-MOST_EXPONENT)));
    sum += share;
    answer += share * units[here + EXPERTS + k * DIM + i];
  }
  return answer / sum;
}

// Writes where coordinate i of four points lands, and from where the next jump begins.
fn leave(first: u32, i: u32, answer: vec4f) {
  let landing = jump.skip * coordinate(first, i) - jump.out * answer;
  let size = jump.points * DIM;
  for (var j = 0u; j < 4 && first + j < jump.points; j++) {
    let at = (2 * jump.number + 1) * size + (first + j) * DIM + i;
    path[at] = landing[j];
    path[at + size] = landing[j];
    if jump.spread > 0 {
      path[at + size] = jump.scale * landing[j] + jump.spread * fresh[(first + j) * jump.noises + jump.noise + i];
    }
  }
}

// Coordinate i of four points where the jump begins; behind the last point stands the last one.
fn coordinate(first: u32, i: u32) -> vec4f {
  let at = 2 * jump.number * jump.points * DIM + i;
  let point = min(first + vec4u(0, 1, 2, 3), vec4u(jump.points - 1)) * DIM;
  return vec4f(path[at + point.x], path[at + point.y], path[at + point.z], path[at + point.w]);
}

// sin and cos of multiple · x, to 2e-7. The argument is counted in quarter turns: twelve bits of x times twelve of the
// multiple make an exact product, whose whole quarters are taken away before anything is rounded. The rest is half of a
// quarter at most, for which short polynomials do (those of Cephes, by S. L. Moshier).
fn sine_and_cosine(x: vec4f, multiple: vec2f) -> array<vec4f, 2> {
  let coarse = bitcast<vec4f>(bitcast<vec4u>(x) & vec4u(0xfffff000));
  let large = coarse * multiple.x;
  let small = (x - coarse) * multiple.x;
  let rest = (large - round(large)) + ((small - round(small)) + x * multiple.y);
  let quarter = vec4i(round(large)) + vec4i(round(small)) + vec4i(round(rest));
  let angle = 1.57079633 * (rest - round(rest));
  let z = angle * angle;
  let sine = angle + angle * z * (-1.6666654611e-1 + z * (8.3321608736e-3 + z * -1.9515295891e-4));
  let cosine = 1.0 - 0.5 * z + z * z * (4.166664568e-2 + z * (-1.388731625e-3 + z * 2.443315712e-5));
  let odd = (quarter & vec4i(1)) == vec4i(1);
  let below = vec4f((quarter & vec4i(2)) - 1); // 1 where the sine has changed its sign, else −1
  let behind = vec4f(((quarter + 1) & vec4i(2)) - 1);
  return array(-below * select(sine, cosine, odd), -behind * select(cosine, sine, odd));
}
