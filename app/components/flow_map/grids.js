// Times as angles, and the named time grids of cmcore/grids.py: K + 1 times from T down to δ, whose ends are exactly T and δ.

// θ = arccos e⁻ᵗ, and back; both accurate near 0, as in cmcore/process.py.
const angleAt = (t) => Math.atan2(Math.sqrt(-Math.expm1(-2 * t)), Math.exp(-t));

function timeAtAngle(theta) {
  const cosine = Math.cos(theta);
  return cosine > 0.5 ? -Math.log1p(-2 * Math.sin(theta / 2) ** 2) : -Math.log(cosine);
}

const GRIDS = {
  uniform_angle: (steps, horizon, delta) => evenly(angleAt(horizon), angleAt(delta), steps).map(timeAtAngle),
  quadratic_angle(steps, horizon, delta) {
    const [first, last] = [horizon, delta].map(angleAt);
    return evenly(1, 0, steps).map((left) => timeAtAngle(last + (first - last) * left ** 2));
  },
  constant_step: (steps, horizon, delta) => evenly(horizon, delta, steps),
  karras(steps, horizon, delta, rho = 7) {
    const [first, last] = [horizon, delta].map((t) => Math.expm1(2 * t) ** (0.5 / rho));
    return evenly(first, last, steps).map((root) => Math.log1p(root ** (2 * rho)) / 2);
  },
  shrinking_step: (steps, horizon, delta) =>
    bySteps(steps, horizon, delta, Math.max(1, horizon - delta), (t) => Math.min(1, t)),
  variance_step: (steps, horizon, delta) =>
    bySteps(steps, horizon, delta, (horizon - delta) / -Math.expm1(-2 * horizon), (t) => -Math.expm1(-2 * t)),
};

// The grid of that name; shrinking steps need δ > 0.
function namedGrid(name, steps, horizon, delta) {
  const times = GRIDS[name](steps, horizon, delta);
  [times[0], times[steps]] = [horizon, delta];
  return times;
}

const evenly = (first, last, steps) => Array.from({ length: steps + 1 }, (_, k) => first + (last - first) * k / steps);

// Steps c · rule(t), with the c that reaches δ in exactly so many of them, by bisection.
function bySteps(steps, horizon, delta, most, rule) {
  let [low, high] = [0, most];
  for (let i = 0; i < 200; i++) {
    const c = (low + high) / 2;
    let t = horizon;
    for (let k = 0; k < steps && t > 0; k++) t -= c * rule(t);
    if (t > delta) low = c;
    else high = c;
  }
  const times = [horizon];
  for (let k = 0; k < steps; k++) times.push(times[k] - high * rule(times[k]));
  return times;
}
