"""The steps of training_speed.py in JAX: jitted, twenty of them in one `lax.scan`, float32."""

import os
from itertools import pairwise

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # read as jax loads

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

each = jax.tree.map


def make_steps(task: str, widths: list[int], data: dict[str, np.ndarray], settings: dict):
    """A function that takes one step per batch of the data, [steps, n, ·], and returns when they are done."""
    loss = {"a": regression, "b": bootstrap, "c": mean_flow, "d": lagrangian}[task]
    multiples = jnp.array(settings["space"]), jnp.array(settings["time"])
    rate, decay = settings["learning_rate"], settings["average"]

    def step(state, batch):
        w, average, first, second, count = state
        gradient = jax.grad(loss)(w, average, batch, multiples)
        count = count + 1
        first = each(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = each(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradient)
        scale, root = rate / (1 - 0.9**count), 1 / jnp.sqrt(1 - 0.99**count)
        w = each(lambda p, m, v: p - scale * m / (jnp.sqrt(v) * root + 1e-8), w, first, second)
        average = each(lambda e, p: e + (1 - decay) * (p - e), average, w)
        return (w, average, first, second, count), None

    @jax.jit
    def steps(state, batches):
        return lax.scan(step, state, batches)[0]

    parameters = initial(widths)
    zeros = each(jnp.zeros_like, parameters)
    state = (parameters, parameters, zeros, zeros, jnp.zeros(()))
    batches = {name: jnp.array(values) for name, values in data.items()}

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(steps(state, batches))

    return run


def initial(widths: list[int]) -> list[jax.Array]:
    """Weight and bias of each layer, uniform as torch's."""
    source = np.random.default_rng(0)
    shapes = [shape for a, b in pairwise(widths) for shape in ((a, (b, a)), (a, (b,)))]
    return [jnp.array(source.uniform(-(fan**-0.5), fan**-0.5, shape), jnp.float32) for fan, shape in shapes]


def network(weights, multiples, x, theta, gap):
    """The perceptron on sines and cosines of multiples of x, θ and gap."""
    space = (x[:, :, None] * multiples[0]).reshape(len(x), -1)
    time = jnp.concatenate([theta * multiples[1], gap * multiples[1]], axis=1)
    h = jnp.concatenate([x, jnp.sin(space), jnp.cos(space), jnp.sin(time), jnp.cos(time)], axis=1)
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        h = jax.nn.silu(h @ weight.T + bias)
    return h @ weights[-2].T + weights[-1]


def regression(weights, average, batch, multiples):
    return _mean_square(network(weights, multiples, batch["x"], batch["theta"], batch["gap"]) - batch["y"])


def bootstrap(weights, average, batch, multiples):
    wanted = network(average, multiples, batch["y"], batch["theta"], batch["gap"])
    return _mean_square(network(weights, multiples, batch["x"], batch["theta"], batch["gap"]) - wanted)


def mean_flow(weights, average, batch, multiples):
    one = jnp.ones_like(batch["gap"])
    value, tangent = _along(weights, multiples, batch, (batch["dx"], one, one))
    return _mean_square(value - lax.stop_gradient(batch["dx"] - batch["gap"] * tangent))


def lagrangian(weights, average, batch, multiples):
    one = jnp.ones_like(batch["gap"])
    value, tangent = _along(weights, multiples, batch, (0 * batch["dx"], 0 * one, -one))
    return _mean_square(value - batch["gap"] * tangent - batch["dx"])


def _along(weights, multiples, batch, direction):
    point = batch["x"], batch["theta"], batch["gap"]
    return jax.jvp(lambda *p: network(weights, multiples, *p), point, direction)


def _mean_square(residual):
    return (residual**2).mean()
